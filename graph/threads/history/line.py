"""The checkpoints of a thread that tell its course: few for each turn, those of other branches too.

Shown are where a turn was asked for, where it stands or ended, where it waited for a person, what
somebody has changed, and the first. What lies between is how the graph went from one to the next.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.types import StateSnapshot
from sqlalchemy import text
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.access import Principal
from core.database.engine import is_sqlite
from graph.flow.state import time_of
from graph.threads.history import checkpoints
from graph.threads.history.look import Graph, id_of, snapshot_at
from graph.threads.history.owning import owned_row
from graph.threads.transcript import Transcript

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
# 100 ns from the beginning of the calendar of UUIDs, in 1582, to that of Unix.
_UNIX_TICKS = 0x01B21DD213814000


@dataclass(frozen=True, slots=True)
class ShownCheckpoint:
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


def made_at(checkpoint_id: str) -> str | None:
    """When a checkpoint was made, which its id tells (a UUID of version 6, RFC 9562); None for another id."""
    try:
        number = uuid.UUID(checkpoint_id).int
    except ValueError:
        return None
    ticks = (number >> 80 << 12) | ((number >> 64) & 0xFFF)
    return time_of((ticks - _UNIX_TICKS) / 1e7) if ticks >= _UNIX_TICKS else None


def shown_among(rows: Sequence[_Row]) -> dict[str, str | None]:
    """Ids of the checkpoints that are shown, the newest first, each with that of its shown ancestor."""
    known = {row.id: row for row in rows}
    continued = {row.parent for row in rows}
    asked = {row.parent for row in rows if row.source == "input"}
    shown = {row.id for row in rows if _is_shown(row, known, asked, ends=row.id not in continued)}
    return {row.id: _ancestor(row, known, shown) for row in rows if row.id in shown}


def _is_shown(row: _Row, known: dict[str, _Row], asked: set[str | None], *, ends: bool) -> bool:
    before = known.get(row.parent or "")
    return (
        ends
        or before is None
        or row.asks
        or row.source in _CHANGED
        or row.id in asked
        or (before.source == "input" and row.source != "input")
    )


def _what(row: _Row, known: dict[str, _Row], asked: set[str | None], *, ends: bool) -> str:
    before = known.get(row.parent or "")
    if row.asks:
        return "asks"
    if row.source in _CHANGED:
        return "changed"
    if row.id in asked or ends:
        return "ended"
    if row.source == "input":
        return "input"
    return "began" if before is not None and before.source == "input" else "step"


def _end(rows: Sequence[_Row], began: str) -> str:
    """The last checkpoint of the turn that began at this one: up to the next input, or a change behind it."""
    following = {row.parent: row for row in reversed(rows) if row.source != "input"}
    end, at = began, following.get(began)
    while at is not None:
        end = at.id if at.source not in _CHANGED else end
        at = following.get(at.id)
    return end


def _ancestor(row: _Row, known: dict[str, _Row], shown: set[str]) -> str | None:
    at = row.parent
    while at is not None and at not in shown:
        at = known[at].parent if at in known else None
    return at


class CheckpointHistory:
    """A person's thread through time, as LangGraph has it."""

    def __init__(self, engine: AsyncEngine, graph: Graph, transcript: Transcript) -> None:
        self._engine = engine
        self._graph = graph
        self._transcript = transcript

    async def page(
        self, principal: Principal, thread_id: str, *, limit: int = 10, before: str | None = None
    ) -> Sequence[ShownCheckpoint]:
        """The checkpoints that tell the thread's course, the newest first.

        Args:
            before: Only those that are older than the one with this id.

        Raises:
            ThreadNotFound: There is none.
        """
        await self._owned(principal, thread_id)
        found = shown_among(await rows_of_line(self._engine, thread_id))
        wanted = [key for key in found if before is None or key < before][:limit]
        snapshots = await asyncio.gather(*(self._at(thread_id, key) for key in wanted))
        pairs = zip(wanted, snapshots, strict=True)
        return [
            ShownCheckpoint(snapshot, found[key])
            for key, snapshot in pairs
            if snapshot.created_at is not None
        ]

    async def line(
        self, principal: Principal, thread_id: str, *, limit: int = 200, before: str | None = None
    ) -> list[dict[str, Any]]:
        """The same checkpoints without their states, which costs one statement however many there are.

        Of each: its id, that of the shown one that it follows (two with the same are branches), when it
        was made, and as `what` one of asks (a person), changed, began (a turn), ended, input, step.

        Raises:
            ThreadNotFound: There is none.
        """
        await self._owned(principal, thread_id)
        rows = await rows_of_line(self._engine, thread_id)
        known, continued = {row.id: row for row in rows}, {row.parent for row in rows}
        asked = {row.parent for row in rows if row.source == "input"}
        found = shown_among(rows)
        shown = [row for row in rows if row.id in found and (before is None or row.id < before)]
        return [
            {
                "checkpoint_id": row.id,
                "parent": found[row.id],
                "created_at": made_at(row.id),
                "what": _what(row, known, asked, ends=row.id not in continued),
            }
            for row in shown[:limit]
        ]

    async def at(
        self, principal: Principal, thread_id: str, checkpoint_id: str | None = None
    ) -> StateSnapshot:
        """The state at a checkpoint, by default the newest.

        Raises:
            ThreadNotFound, CheckpointNotFound: There is none.
        """
        await self._owned(principal, thread_id)
        return await snapshot_at(self._graph, thread_id, checkpoint_id)

    async def end_of(self, principal: Principal, thread_id: str, message_id: str) -> StateSnapshot:
        """The state in which the turn of this message ended.

        The newest where no later turn has been asked for, and where no checkpoint of its end is kept.

        Raises:
            ThreadNotFound: There is none.
        """
        newest = await self.at(principal, thread_id)
        asked = [m.id for m in newest.values.get("messages", []) if isinstance(m, HumanMessage)]
        if asked[-1:] == [message_id]:
            return newest
        async with self._engine.connect() as db:
            steps = await checkpoints.steps_with(db, thread_id, message_id)
        rows = await rows_of_line(self._engine, thread_id) if steps else []
        found = await self._at(thread_id, _end(rows, steps[0][0])) if steps else newest
        return found if found.created_at is not None else newest

    async def _at(self, thread_id: str, checkpoint_id: str) -> StateSnapshot:
        # Read by its id: deleted meanwhile, as too old, it is an empty one.
        return await self._graph.aget_state(
            {"configurable": {"thread_id": thread_id, "checkpoint_id": checkpoint_id}}
        )

    async def newest(self, principal: Principal, thread_id: str) -> str | None:
        """The id of the newest checkpoint; None where there is none. Raises ThreadNotFound."""
        await self._owned(principal, thread_id)
        query = text(
            "SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = :thread AND checkpoint_ns = ''"
        )
        async with self._engine.connect() as db:
            found: str | None = (await db.execute(query, {"thread": thread_id})).scalar()
        return found

    async def before(self, thread_id: str, snapshot: StateSnapshot) -> str | None:
        """The id of the checkpoint that `page` shows before this one."""
        rows = await rows_of_line(self._engine, thread_id)
        known = {row.id: row for row in rows}
        row = known.get(id_of(snapshot) or "")
        return _ancestor(row, known, set(shown_among(rows))) if row else None

    async def has_message(self, thread_id: str, message_id: str) -> bool:
        """True when a message of the thread has this id."""
        return await self._transcript.has(thread_id, message_id)

    async def _owned(self, principal: Principal, thread_id: str) -> None:
        async with self._engine.connect() as db:
            await owned_row(db, principal, thread_id)
