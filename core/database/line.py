"""What waits for the writer: units under their fences, and the order in which they are written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio.engine import AsyncConnection

from core.database.outage import DatabaseUnavailable

Rows = Sequence[Sequence[Any]]
Work = Callable[[AsyncConnection], Coroutine[Any, Any, Any]]

# The largest group: who comes last in it waits for all of it.
AT_MOST = 50
# Of what begins something new, so much goes with a group. Where hundreds come at once, those under way would
# else stand behind all of them at each of their steps, and the first would be done no sooner than the last.
BEGUN_AT_ONCE = 8


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
    """

    fence: Fence | None = None
    statements: Sequence[tuple[str, Rows]] = ()
    query: tuple[str, Sequence[Any]] | None = None
    guard: tuple[str, Sequence[Any]] | None = None
    work: Work | None = None
    begins: bool = False


class Entry:
    """A unit in the line, with what was handed over before it; its outcome comes into `done`."""

    def __init__(self, unit: Unit, done: asyncio.Future[Any], earlier: list[Unit]) -> None:
        self.unit = unit
        self.done = done
        self.earlier = earlier
        self.is_promise = True
        # Whoever waited has been told that it is not stored: it is not begun any more.
        self.given_up = False

    @property
    def units(self) -> list[Unit]:
        """In the order in which they are written."""
        return [*self.earlier, self.unit]


class Line:
    """Entries that wait: those under way in the order of their coming, and behind them those that begin."""

    def __init__(self) -> None:
        self._under_way: list[Entry] = []
        self._beginning: list[Entry] = []

    def __len__(self) -> int:
        return len(self._under_way) + len(self._beginning)

    @property
    def is_full(self) -> bool:
        """Whether a group would have no room for more of one kind or the other."""
        return len(self._beginning) >= BEGUN_AT_ONCE or len(self) >= AT_MOST

    def add(self, entry: Entry) -> None:
        (self._beginning if entry.unit.begins else self._under_way).append(entry)

    def group(self) -> list[Entry]:
        """The next group, which leaves the line. Some of those that begin are always in it."""
        few = self._beginning[:BEGUN_AT_ONCE]
        many = self._under_way[: AT_MOST - len(few)]
        del self._beginning[: len(few)], self._under_way[: len(many)]
        return many + few

    def without(self, entry: Entry) -> bool:
        """Whether the entry stood here; it does not any more."""
        for entries in (self._under_way, self._beginning):
            if entry in entries:
                entries.remove(entry)
                return True
        return False

    def next_of(self, fence: Fence) -> Entry | None:
        """The next entry of this holder."""
        return next((entry for entry in self._under_way if entry.unit.fence == fence), None)

    def left(self) -> list[Entry]:
        """All of them, which leave the line."""
        entries = self._under_way + self._beginning
        self._under_way, self._beginning = [], []
        return entries


def given_up() -> DatabaseUnavailable:
    """For an entry that was not begun, since nobody waits for it any more."""
    return DatabaseUnavailable("is held up by other writers")
