"""A new thread that begins at a checkpoint of another, which stays as it is."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.types import StateSnapshot
from sqlalchemy import RowMapping, func, insert, literal, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from core.access import Principal
from core.database.engine import insert_new, now_of
from core.database.outage import uninterrupted
from graph.db.tables import named, shared_files, threads, transcript
from graph.runs.lease import new_id, new_thread
from graph.runs.rows import ThreadTotals
from graph.threads.history import checkpoints
from graph.threads.history.errors import CheckpointNotFound, MessageNotFound
from graph.threads.history.look import START, Graph, id_before, id_of, interrupts_of, snapshot_at
from graph.threads.history.owning import owned_row
from graph.threads.history.restore import Restorer


@dataclass(frozen=True, slots=True)
class Point:
    """Where a fork begins.

    Args:
        snapshot: The checkpoint; None for the empty beginning of a thread.
        until: Transcript rows above this number stay behind; None takes all.
        copied: False when nothing before the checkpoint is kept: a message that
            is only on its way in there cannot be left out of a copy, so the
            fork's state is made of the checkpoint's values.
        is_now: Nobody named a checkpoint: it is where the thread stands.
    """

    snapshot: StateSnapshot | None
    until: int | None = None
    copied: bool = True
    is_now: bool = False

    @property
    def head(self) -> str | None:
        """The checkpoint to copy."""
        return id_of(self.snapshot) if self.snapshot and self.copied else None

    @property
    def open(self) -> bool:
        """True in the middle of a turn: the fork's first turn has to end it."""
        return self.snapshot is not None and self.copied and bool(self.snapshot.next)


class Forks:
    """Forks threads of the database at `engine`, whose states `graph` reads."""

    def __init__(
        self, engine: AsyncEngine, graph: Graph, restorer: Restorer, totals: ThreadTotals | None = None
    ) -> None:
        self._engine = engine
        self._totals = totals
        self._graph = graph
        self._restorer = restorer

    async def at(self, principal: Principal, thread_id: str, checkpoint_id: str | None = None) -> str:
        """Fork from a checkpoint, by default from where the thread is now.

        Returns:
            The id of the new thread.

        Raises:
            ThreadNotFound, CheckpointNotFound: There is none.
        """
        async with self._engine.connect() as db:
            await owned_row(db, principal, thread_id)
        point = await self._point(thread_id, await snapshot_at(self._graph, thread_id, checkpoint_id))
        if checkpoint_id is None:
            point = replace(point, is_now=True)
        else:
            point = replace(point, until=await self._last_known(thread_id, point.snapshot))
        return await self._made(principal, thread_id, point)

    async def before(self, principal: Principal, thread_id: str, message_id: str) -> str:
        """Fork from just before a message of the user, to say something else instead.

        Where no checkpoint of that moment is kept, the fork's state is made
        again from the transcript.

        Returns:
            The id of the new thread.

        Raises:
            ThreadNotFound: There is no such thread.
            MessageNotFound: It has no such message of its user.
        """
        async with self._engine.connect() as db:
            await owned_row(db, principal, thread_id)
            place = (await db.execute(_place_of(thread_id, message_id))).scalar()
        if place is None:
            raise MessageNotFound(thread_id, message_id)
        began = await self._input_of(thread_id, message_id)
        if began is None:
            made = await self._fork(principal, thread_id, Point(None, place - 1))
            await self._restorer.from_transcript(made)
            return made
        point = await self._point(thread_id, await snapshot_at(self._graph, thread_id, began))
        return await self._made(principal, thread_id, replace(point, until=place - 1))

    async def _point(self, thread_id: str, snapshot: StateSnapshot) -> Point:
        """The checkpoint itself, or the one before where it is only a message on its way in."""
        if id_of(snapshot) is None:
            return Point(None)
        if snapshot.next != (START,):
            return Point(snapshot)
        before = id_before(snapshot)
        if before:
            with suppress(CheckpointNotFound):  # deleted meanwhile, as too old
                return Point(await snapshot_at(self._graph, thread_id, before))
        return Point(snapshot, copied=False) if snapshot.values.get("messages") else Point(None)

    async def _made(self, principal: Principal, thread_id: str, point: Point) -> str:
        made = await self._fork(principal, thread_id, point)
        if point.snapshot and not point.copied:
            await self._restorer.from_state(made, point.snapshot.values)
        return made

    async def _last_known(self, thread_id: str, snapshot: StateSnapshot | None) -> int:
        """The last transcript row whose message the state has."""
        ids = _ids(snapshot)
        if not ids:
            return 0
        query = select(func.max(transcript.c.seq)).where(
            transcript.c.thread_id == thread_id, transcript.c.message_id.in_(ids)
        )
        async with self._engine.connect() as db:
            return (await db.execute(query)).scalar() or 0

    async def _input_of(self, thread_id: str, message_id: str) -> str | None:
        """The checkpoint at which the message came in; None where it is not kept."""
        async with self._engine.connect() as db:
            steps = await checkpoints.steps_with(db, thread_id, message_id)
        serde = self._restorer.saver.serde
        for began, kind, blob in steps:
            if _comes_in(serde.loads_typed((kind, blob)), message_id):
                return began
        return None

    @uninterrupted
    async def _fork(self, principal: Principal, thread_id: str, point: Point) -> str:
        made = new_id("t")
        async with self._engine.begin() as db:
            # The first statement writes: on SQLite a transaction that began by reading may be refused later.
            await db.execute(update(threads).where(threads.c.id == thread_id).values(fence=threads.c.fence))
            source = await owned_row(db, principal, thread_id)
            await db.execute(insert(threads).values(**_row(made, principal, source, point, now=now_of(db))))
            if self._totals:
                await self._totals.hold(db, principal.id)
            await self._copy(db, thread_id, made, point)
        return made

    async def _copy(self, db: AsyncConnection, source: str, made: str, point: Point) -> None:
        if point.head and not await checkpoints.copy_line(db, source, made, point.head):
            raise CheckpointNotFound(source, point.head)
        await _copy_transcript(db, source, made, point.until)
        await _set_dirty(db, made, point)
        for key in _tool_files(point.snapshot):
            for thread in (source, made):
                await insert_new(db, shared_files, {"thread_id": thread, "key": key})


def _place_of(thread_id: str, message_id: str) -> Any:
    return select(transcript.c.seq).where(
        transcript.c.thread_id == thread_id,
        transcript.c.message_id == message_id,
        transcript.c.role == "user",
    )


def _comes_in(written: Any, message_id: str) -> bool:
    """True when a step wrote the message as input, where only the user speaks."""
    messages: Iterable[Any] = written if isinstance(written, list) else [written]
    known = [m for m in messages if isinstance(m, BaseMessage)]
    return any(m.id == message_id for m in known) and all(isinstance(m, HumanMessage) for m in known)


def _row(made: str, principal: Principal, source: RowMapping, point: Point, *, now: float) -> dict[str, Any]:
    # A question that was cancelled stands in the checkpoint until the next turn settles it.
    asks = point.open and (source["status"] == "interrupted" or not point.is_now)
    waiting = interrupts_of(point.snapshot) if point.snapshot and asks else []
    return {
        **new_thread(made, principal, source["title"], now=now),
        "status": "interrupted" if waiting else "idle",
        "waiting": waiting or None,
        # What a cut turn has left behind is copied with it, and has to be mended there too.
        "dirty": point.is_now and source["dirty"],
        **named(tags=source["tags"] or []),
        "parent": source["id"],
    }


async def _copy_transcript(db: AsyncConnection, source: str, made: str, until: int | None) -> None:
    names = [column.name for column in transcript.c if column.name not in ("seq", "thread_id")]
    columns = [literal(made), *(transcript.c[name] for name in names)]
    rows = select(*columns).where(transcript.c.thread_id == source).order_by(transcript.c.seq)
    if until is not None:
        rows = rows.where(transcript.c.seq <= until)
    await db.execute(insert(transcript).from_select(["thread_id", *names], rows))


async def _set_dirty(db: AsyncConnection, made: str, point: Point) -> None:
    """Count the fork's turns; where its transcript has what its state does not, the first turn repairs."""
    told = select(transcript.c.message_id).where(transcript.c.thread_id == made, transcript.c.role == "user")
    said = list((await db.execute(told.order_by(transcript.c.seq))).scalars())
    lost = bool(said) and said[-1] not in _ids(point.snapshot)
    dirty = True if point.open or lost else threads.c.dirty
    await db.execute(update(threads).where(threads.c.id == made).values(turns=len(said), dirty=dirty))


def _ids(snapshot: StateSnapshot | None) -> list[str]:
    values = snapshot.values if snapshot else {}
    return [message.id for message in values.get("messages") or [] if message.id]


def _tool_files(snapshot: StateSnapshot | None) -> list[str]:
    values = snapshot.values if snapshot else {}
    return [str(file["key"]) for file in values.get("files") or [] if file.get("origin") == "tool"]
