"""What is handed to the writer: units, each written whole or not at all, under the fence of its holder."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio.engine import AsyncConnection

from core.database.outage import DatabaseUnavailable

Rows = Sequence[Sequence[Any]]
Work = Callable[[AsyncConnection], Coroutine[Any, Any, Any]]


def given_up() -> DatabaseUnavailable:
    """For what was not begun, since nobody waits for it any more."""
    return DatabaseUnavailable("is held up by other writers")


@dataclass(frozen=True, slots=True)
class Fence:
    """What must still stand when a unit is written: `key` has this number.

    Args:
        lost: Makes the error for whoever is refused.
    """

    key: str
    number: int
    lost: Callable[[], Exception] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Unit:
    """What is written whole or not at all.

    Args:
        fence: Without it nobody is refused.
        statements: SQL in the driver's own words, each with its rows.
        query: Asked behind them; its rows are the result.
        guard: Where it finds no row, the unit is refused as by its fence.
        work: Done inside of the transaction, where statements depend on what is found; it may be done twice.
        begins: It begins something new, and lets those go first who are under way.
        hurries: A person waits for it alone, as for the end of what was cancelled: it stands in front of all.
    """

    fence: Fence | None = None
    statements: Sequence[tuple[str, Rows]] = ()
    query: tuple[str, Sequence[Any]] | None = None
    guard: tuple[str, Sequence[Any]] | None = None
    work: Work | None = None
    begins: bool = False
    hurries: bool = False
