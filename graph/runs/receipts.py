"""Receipts of tool calls in the database, for the run that this task works for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from core.database.engine import insert_new, now_of
from core.database.outage import endured, uninterrupted
from graph.db.tables import receipts
from graph.runs.lease import Hold, assert_held, holding
from nodes.mcp_tools import ExecutionContext, Receipt, ToolOutcome, outcome_as_json, outcome_from_json


class StoredReceipts:
    """Keeps a receipt per run and call. Where no thread is held (Studio), none are kept.

    Args:
        engine: Gives the database, with the first receipt: a process that keeps none opens none.
    """

    def __init__(self, engine: Callable[[], Awaitable[AsyncEngine]]) -> None:
        self._engine = engine

    async def begin(self, context: ExecutionContext) -> Receipt:
        """See `nodes.mcp_tools.ports.Receipts`. A holder that lost its thread is stopped here."""
        hold = holding()
        if hold is None or not hold.run_id:
            return Receipt()
        row = {
            "run_id": hold.run_id,
            "call_id": context.call_id,
            "thread_id": hold.thread_id,
            "started_at": now_of(await self._engine()),
        }
        return await endured(self._begin, hold, row)

    @uninterrupted
    async def _begin(self, hold: Hold, row: Mapping[str, Any]) -> Receipt:
        async with (await self._engine()).begin() as db:
            await assert_held(db, hold)
            if await insert_new(db, receipts, row):
                return Receipt()
            mine = (receipts.c.run_id == row["run_id"]) & (receipts.c.call_id == row["call_id"])
            columns = select(receipts.c.outcome, receipts.c.started_at).where(mine)
            kept = (await db.execute(columns)).one()
        if kept.outcome is None and kept.started_at == row["started_at"]:
            # This very beginning: its answer was lost with the database, and the call has not been made.
            return Receipt()
        return Receipt(begun=True, outcome=outcome_from_json(kept.outcome) if kept.outcome else None)

    async def end(self, context: ExecutionContext, outcome: ToolOutcome) -> None:
        """See `nodes.mcp_tools.ports.Receipts`. What a tool did outlives a database that is away."""
        if holding() is None:
            return
        values = {"outcome": outcome_as_json(outcome), "ended_at": now_of(await self._engine())}
        await self._change(context, lambda mine: update(receipts).where(mine).values(values))

    async def forget(self, context: ExecutionContext) -> None:
        """See `nodes.mcp_tools.ports.Receipts`. An outcome that is known is kept."""
        await self._change(context, lambda mine: delete(receipts).where(mine, receipts.c.ended_at.is_(None)))

    async def _change(self, context: ExecutionContext, change: Callable[[Any], Any]) -> None:
        hold = holding()
        if hold is None or not hold.run_id:
            return
        mine = (receipts.c.run_id == hold.run_id) & (receipts.c.call_id == context.call_id)
        await endured(self._write, hold, change(mine))

    @uninterrupted
    async def _write(self, hold: Hold, statement: Any) -> None:
        async with (await self._engine()).begin() as db:
            await assert_held(db, hold)
            await db.execute(statement)


async def outcomes_of(
    engine: AsyncEngine, thread_id: str, call_ids: Collection[str]
) -> dict[str, ToolOutcome]:
    """Outcomes that the calls of a thread's unfinished turn came to, by call id.

    Receipts of a turn that ended well are gone, so an id that an older turn had
    too finds nothing of it.
    """
    if not call_ids:
        return {}
    kept = (receipts.c.thread_id == thread_id) & receipts.c.call_id.in_(call_ids)
    query = select(receipts.c.call_id, receipts.c.outcome).where(kept, receipts.c.outcome.is_not(None))
    query = query.order_by(receipts.c.started_at)
    async with engine.connect() as db:
        return {row.call_id: outcome_from_json(row.outcome) for row in await db.execute(query)}


@uninterrupted
async def forget_receipts(engine: AsyncEngine, thread_id: str, *, but_of: str) -> None:
    """Delete the receipts of a thread whose unfinished turns have been settled."""
    async with engine.begin() as db:
        await db.execute(
            delete(receipts).where(receipts.c.thread_id == thread_id, receipts.c.run_id != but_of)
        )
