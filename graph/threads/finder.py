"""A person's threads by what is noted about them, for clients that page by number."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import ColumnElement, RowMapping, Select, func, select
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.access import Principal, owner_seen_by
from core.errors import InvalidInput
from core.foreign import as_bytes, fault_in
from graph.db.tables import threads

SortBy = Literal["thread_id", "status", "created_at", "updated_at"]

MOST_NOTES_BYTES = 16_384
_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_COLUMNS = {"thread_id": "id", "status": "status", "created_at": "created_at", "updated_at": "updated_at"}


@dataclass(frozen=True, slots=True)
class ThreadQuery:
    """Threads with this status, these notes, and one of these ids."""

    status: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    ids: Collection[str] | None = None


class ThreadFinder:
    """Looks through a person's threads.

    Args:
        view: Makes of a row what the API tells of a thread.
    """

    def __init__(self, engine: AsyncEngine, view: Callable[[RowMapping], dict[str, Any]]) -> None:
        self._engine = engine
        self._view = view

    async def page(
        self,
        principal: Principal,
        wanted: ThreadQuery,
        *,
        sort_by: SortBy = "updated_at",
        descending: bool = True,
        limit: int = 10,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """The threads that fit, `limit` of them behind the first `offset`."""
        column = threads.c[_COLUMNS[sort_by]]
        order = [column.desc(), threads.c.id.desc()] if descending else [column, threads.c.id]
        query = _selected(principal, wanted).order_by(*order).limit(limit).offset(offset)
        async with self._engine.connect() as db:
            return [self._view(row) for row in (await db.execute(query)).mappings()]

    async def count(self, principal: Principal, wanted: ThreadQuery) -> int:
        """How many threads fit."""
        counted = select(func.count()).select_from(_selected(principal, wanted).subquery())
        async with self._engine.connect() as db:
            return (await db.execute(counted)).scalar_one()


def _selected(principal: Principal, wanted: ThreadQuery) -> Select[Any]:
    query = select(threads).where(threads.c.owner == owner_seen_by(principal))
    if wanted.status is not None:
        query = query.where(threads.c.status == wanted.status)
    if wanted.ids is not None:
        query = query.where(threads.c.id.in_(list(wanted.ids)))
    for name, value in wanted.notes.items():
        query = query.where(_noted(name, value))
    return query


def _noted(name: str, value: Any) -> ColumnElement[bool]:
    if not _KEY.fullmatch(name):
        raise InvalidInput(f"metadata.{name[:80]}: use 1 to 64 letters, digits and _ . : - for a name")
    stored: Any = threads.c.metadata[name]
    found: ColumnElement[bool]
    if isinstance(value, bool):
        found = stored.as_boolean() == value
    elif isinstance(value, str) and "\x00" not in value:
        found = stored.as_string() == value
    elif isinstance(value, int) and abs(value) < 2**31:
        found = stored.as_integer() == value
    else:
        raise InvalidInput(f"metadata.{name}: text, whole numbers, true and false can be looked for")
    return found


def checked_notes(notes: Mapping[str, Any]) -> dict[str, Any]:
    """The notes, when they can be kept.

    Raises:
        InvalidInput: They are too much, or something in them is no JSON.
    """
    found = dict(notes)
    if fault := fault_in(found, "metadata"):
        raise InvalidInput(f"{fault}; send JSON that can be kept")
    if (size := len(as_bytes(found))) > MOST_NOTES_BYTES:
        raise InvalidInput(f"metadata: {size} bytes are noted; at most {MOST_NOTES_BYTES} are kept")
    return found
