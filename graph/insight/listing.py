"""Runs by what is known of them, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, func, or_, select, tuple_
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.cursor import is_cursor, place_of
from graph.db.tables import folded_title, indexed, runs, threads, transcript
from graph.errors import RunNotFound
from graph.runs.record import CURSOR, STATUSES, RunRecord, record_of

# Of the message, in a row of a list.
SHOWN_LETTERS = 200
_ESCAPE = "\\"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs are meant; what is None does not count.

    Args:
        owner: Whose; None: everybody's.
        q: Words of the message or of the thread's title, or an id of a run or thread.
        since, until: Epoch seconds: asked for from, and before.
    """

    owner: str | None
    status: str | None = None
    thread_id: str | None = None
    model: str | None = None
    q: str | None = None
    since: float | None = None
    until: float | None = None

    def clause(self) -> ColumnElement[bool]:
        """The condition on rows of `runs`."""
        if any("\0" in str(value) for value in (self.owner, self.status, self.thread_id, self.model, self.q)):
            return false()  # PostgreSQL's texts hold none, and would not be compared with one
        same = {"owner": self.owner, "status": self.status, "thread_id": self.thread_id, "model": self.model}
        found = [runs.c[name] == value for name, value in same.items() if value is not None]
        if self.since is not None:
            found.append(runs.c.created_at >= self.since)
        if self.until is not None:
            found.append(runs.c.created_at < self.until)
        if self.q is not None and self.q.strip():
            found.append(_mentions(self.q.strip()))
        return and_(True, *found)


def _mentions(q: str) -> ColumnElement[bool]:
    ids = or_(runs.c.id == q, runs.c.thread_id == q)
    title, said = folded_title(q), indexed(q)
    if not title and not said:
        return ids
    named = exists().where(threads.c.id == runs.c.thread_id, _has(threads.c.title_folded, title))
    if not said:
        return or_(ids, named)
    asked = exists().where(
        transcript.c.thread_id == runs.c.thread_id,
        transcript.c.message_id == runs.c.message_id,
        _has(transcript.c.words, said),
    )
    return or_(ids, named, asked)


def _has(column: Any, part: str) -> ColumnElement[bool]:
    for char in (_ESCAPE, "%", "_"):
        part = part.replace(char, _ESCAPE + char)
    found: ColumnElement[bool] = column.like(f"%{part}%", escape=_ESCAPE)
    return found


def run_row(record: RunRecord, *, mine: bool) -> dict[str, Any]:
    """A run in a list. Of somebody else's there is what it took, and nothing of what was said."""
    row = record.as_row() | {"user": record.request.principal.id}
    if mine:
        return row | {"message": record.request.message[:SHOWN_LETTERS]}
    error = record.error and {"code": record.error.get("code"), "title": record.error.get("title")}
    return row | {"message": "", "output": None, "error": error}


class RunList:
    """Reads rows of `runs`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def page(self, wanted: Wanted, *, limit: int = 50, after: str | None = None) -> Sequence[RunRecord]:
        """The newest first.

        Args:
            after: `cursor` of the last run of the page before, or its id while it is there.

        Raises:
            RunNotFound: There is no run of this id among those of the owner.
        """
        query = select(runs).where(wanted.clause())
        if after is not None:
            query = query.where(tuple_(runs.c.created_at, runs.c.id) < await self._place(wanted, after))
        query = query.order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit)
        async with self._engine.connect() as db:
            return [record_of(row) for row in (await db.execute(query)).mappings()]

    async def _place(self, wanted: Wanted, after: str) -> tuple[float, str]:
        if is_cursor(after):
            return place_of(CURSOR, after)
        if "\0" in after:
            raise RunNotFound(after[:80])
        theirs = [] if wanted.owner is None else [runs.c.owner == wanted.owner]
        query = select(runs.c.created_at, runs.c.id).where(runs.c.id == after, *theirs)
        async with self._engine.connect() as db:
            row = (await db.execute(query)).first()
        if row is None:
            raise RunNotFound(after[:80])
        return float(row[0]), str(row[1])

    async def counts(self, wanted: Wanted) -> dict[str, int]:
        """How many runs there are in each status, and how many threads wait for a person."""
        query = select(runs.c.status, func.count()).where(wanted.clause()).group_by(runs.c.status)
        whose = [] if wanted.owner is None else [threads.c.owner == wanted.owner]
        waits = select(func.count()).select_from(threads).where(threads.c.status == "interrupted", *whose)
        async with self._engine.connect() as db:
            found = {str(status): int(count) for status, count in await db.execute(query)}
            waiting = int((await db.execute(waits)).scalar_one())
        return {**{status: found.get(status, 0) for status in STATUSES}, "waiting": waiting}
