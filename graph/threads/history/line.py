"""The checkpoints of a thread that tell its course: few for each turn, those of other branches too.

Shown are where a turn was asked for, where it stands or ended, where it waited for a person, what
somebody has changed, and the first. What lies between is how the graph went from one to the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from langgraph.types import StateSnapshot
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.database.engine import is_sqlite
from graph.threads.history.look import Graph

_LINE = (
    "SELECT c.checkpoint_id, c.parent_checkpoint_id, {source}, EXISTS (SELECT 1 FROM {writes} AS w"
    " WHERE w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns"
    " AND w.checkpoint_id = c.checkpoint_id AND w.channel = '__interrupt__')"
    " FROM checkpoints AS c WHERE c.thread_id = :thread AND c.checkpoint_ns = ''"
    " ORDER BY c.checkpoint_id DESC"
)
_SQLITE = _LINE.format(source="json_extract(CAST(c.metadata AS TEXT), '$.source')", writes="writes")
_POSTGRES = _LINE.format(source="c.metadata ->> 'source'", writes="checkpoint_writes")
_CHANGED = ("update", "fork")


@dataclass(frozen=True, slots=True)
class Shown:
    """A checkpoint, and the id of the next older one that is shown too."""

    snapshot: StateSnapshot
    parent: str | None


@dataclass(frozen=True, slots=True)
class _Row:
    id: str
    parent: str | None
    source: str
    asks: bool


async def rows_of_line(engine: AsyncEngine, thread_id: str) -> list[_Row]:
    """Every checkpoint of the thread, the newest first."""
    async with engine.connect() as db:
        query = text(_SQLITE if is_sqlite(db) else _POSTGRES)
        found = (await db.execute(query, {"thread": thread_id})).all()
    return [_Row(str(key), parent, str(source), bool(asks)) for key, parent, source, asks in found]


def telling(rows: Sequence[_Row]) -> dict[str, str | None]:
    """Ids of the checkpoints that are shown, the newest first, each with that of its shown ancestor."""
    known = {row.id: row for row in rows}
    continued = {row.parent for row in rows}
    asked = {row.parent for row in rows if row.source == "input"}
    shown = {row.id for row in rows if _tells(row, known, asked, ends=row.id not in continued)}
    return {row.id: _ancestor(row, known, shown) for row in rows if row.id in shown}


def _tells(row: _Row, known: dict[str, _Row], asked: set[str | None], *, ends: bool) -> bool:
    before = known.get(row.parent or "")
    return (
        ends
        or before is None
        or row.asks
        or row.source in _CHANGED
        or row.id in asked
        or (before.source == "input" and row.source != "input")
    )


def _ancestor(row: _Row, known: dict[str, _Row], shown: set[str]) -> str | None:
    at = row.parent
    while at is not None and at not in shown:
        at = known[at].parent if at in known else None
    return at


async def line_of(
    engine: AsyncEngine, graph: Graph, thread_id: str, *, limit: int, before: str | None = None
) -> list[Shown]:
    """The checkpoints that tell the thread's course, the newest first.

    Args:
        before: Only those that are older than the one with this id.
    """
    found = telling(await rows_of_line(engine, thread_id))
    wanted = [key for key in found if before is None or key < before][:limit]
    places = [{"configurable": {"thread_id": thread_id, "checkpoint_id": key}} for key in wanted]
    snapshots = await asyncio.gather(*(graph.aget_state(place) for place in places))  # type: ignore[arg-type]  # a plain dict is one
    pairs = zip(wanted, snapshots, strict=True)
    return [Shown(snapshot, found[key]) for key, snapshot in pairs if snapshot.created_at is not None]


async def newest_of(engine: AsyncEngine, thread_id: str) -> str | None:
    """The id of the newest checkpoint."""
    query = text(
        "SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = :thread AND checkpoint_ns = ''"
    )
    async with engine.connect() as db:
        return (await db.execute(query, {"thread": thread_id})).scalar()


async def ancestor_of(engine: AsyncEngine, thread_id: str, checkpoint_id: str) -> str | None:
    """The id of the checkpoint that is shown before this one; None where there is none."""
    rows = await rows_of_line(engine, thread_id)
    known = {row.id: row for row in rows}
    row = known.get(checkpoint_id)
    return _ancestor(row, known, set(telling(rows))) if row else None
