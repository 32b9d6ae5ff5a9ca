"""A thread in one's own hands: for notebooks that drive the graph themselves.

Whoever writes to a thread must hold it. When the block ends, the transcript and
the thread's row say what its state says: what the block added stands in them,
what it changed is changed, and what it took back, by going on from an older
checkpoint or by removing a message, is taken out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.errors import InvalidUpdateError
from langgraph.graph import END
from langgraph.types import StateSnapshot
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from core.access import Principal
from core.database.engine import insert_new, now_of
from core.database.outage import uninterrupted
from core.errors import InvalidInput
from graph.db.tables import named, threads, transcript
from graph.flow.builder import last_step
from graph.flow.state import as_messages, rows_of, text_of
from graph.runs.lease import Hold, Leases, assert_held, check_id, new_thread, title_from
from graph.runs.rows import supersede
from graph.threads.history.agree import put, take_out
from graph.threads.history.look import Graph, interrupts_of, snapshot_at, state_of
from graph.threads.history.owning import owned_row
from nodes.llm.prompt import answered


class Holding:
    """Holds threads for whoever drives the graph without a run."""

    def __init__(self, engine: AsyncEngine, graph: Graph, leases: Leases) -> None:
        self._engine = engine
        self._graph = graph
        self._leases = leases

    @asynccontextmanager
    async def of(self, principal: Principal, thread_id: str) -> AsyncIterator[RunnableConfig]:
        """Hold the thread, a new one if there is none; gives the config that names it.

        Raises:
            ThreadNotFound: It is somebody else's.
            ThreadBusy: It has a run going.
        """
        config: RunnableConfig = {"configurable": {"thread_id": check_id(thread_id)}}
        await self._there(principal, thread_id)
        left: dict[str, object] = {}
        async with self._leases.borrow(thread_id, left) as hold:
            before, _ = await state_of(self._graph, config)
            try:
                yield config
            finally:
                after, _ = await state_of(self._graph, config)
                left |= await self._agree(hold, before, after)

    async def change(
        self,
        principal: Principal,
        thread_id: str,
        values: Any,
        *,
        as_node: str | None = None,
        checkpoint_id: str | None = None,
    ) -> RunnableConfig:
        """Change the state as a step would, the newest or an older one; names the checkpoint that this makes.

        Args:
            as_node: The step in whose place it is written; by default the one that wrote last. END is the
                last step of a turn, and without values: nothing that was begun there goes on.

        Raises:
            ThreadNotFound, ThreadBusy: As `of`.
            CheckpointNotFound: The thread has no such checkpoint.
            InvalidInput: It cannot be written so.
        """
        if as_node == END and values is not None:
            as_node = last_step(self._graph)
        async with self.of(principal, thread_id) as config:
            # LangGraph hands these on as they are, and the saver asks for each.
            place = {**config["configurable"], "checkpoint_ns": ""}
            if checkpoint_id is not None:
                await snapshot_at(self._graph, thread_id, checkpoint_id)
                place["checkpoint_id"] = checkpoint_id
            try:
                return await self._graph.aupdate_state({"configurable": place}, values, as_node=as_node)
            except InvalidUpdateError as error:
                raise InvalidInput(f"the state cannot be changed so: {error}") from error

    async def seed(self, principal: Principal, thread_id: str, messages: Sequence[Any]) -> None:
        """Add messages to a thread, a new one if there is none, as if they had been said in it.

        Raises:
            ThreadNotFound, ThreadBusy: As `of`.
            InvalidInput: Something of it is no message.
        """
        whole, _ = answered(as_messages(list(messages)))
        async with self.of(principal, thread_id) as config:
            await self._graph.aupdate_state(config, {"messages": whole}, as_node=last_step(self._graph))

    @uninterrupted
    async def _there(self, principal: Principal, thread_id: str) -> None:
        async with self._engine.begin() as db:
            await insert_new(db, threads, new_thread(thread_id, principal, "", now=now_of(db)))
            await owned_row(db, principal, thread_id)

    @uninterrupted
    async def _agree(self, hold: Hold, before: StateSnapshot, after: StateSnapshot) -> dict[str, object]:
        """Bring the transcript to agree with the state; what the thread's row says from now on."""
        if before.config == after.config and before.interrupts == after.interrupts:
            return {}
        old, new = (snapshot.values.get("messages", []) for snapshot in (before, after))
        async with self._engine.begin() as db:
            await assert_held(db, hold)
            await take_out(db, hold.thread_id, old, new)
            for row in rows_of(hold.thread_id, "", new):
                await put(db, row)
            if before.interrupts and before.interrupts != after.interrupts:
                await supersede(db, hold.thread_id)
            return await _row(db, hold.thread_id, before, after)


async def _row(
    db: AsyncConnection, thread_id: str, before: StateSnapshot, after: StateSnapshot
) -> dict[str, object]:
    mine = (transcript.c.thread_id == thread_id) & (transcript.c.role == "user")
    turns = (await db.execute(select(func.count()).select_from(transcript).where(mine))).scalar() or 0
    title = (await db.execute(select(threads.c.title).where(threads.c.id == thread_id))).scalar() or ""
    # One that somebody chose stays; the first line of a message goes with the message.
    chosen = title if title != _first_line(before) else ""
    waiting = interrupts_of(after)
    values: dict[str, object] = {
        "turns": turns,
        **named(title=chosen or _first_line(after)),
        "status": "interrupted" if waiting else "idle",
        "waiting": waiting or None,
        "updated_at": now_of(db),
    }
    # A turn that stopped in the middle is settled before the next message.
    return {**values, "dirty": True} if after.next else values


def _first_line(snapshot: StateSnapshot) -> str:
    asked = next((m for m in snapshot.values.get("messages", []) if isinstance(m, HumanMessage)), None)
    return title_from(text_of(asked)) if asked else ""
