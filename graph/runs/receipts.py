"""Receipts of tool calls in the database, for the run that this task works for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.database.engine import now_of
from core.database.line import Unit
from core.database.outage import endured, uninterrupted
from core.database.writer import Writer
from core.foreign import as_json, from_json
from graph.db.database import writer_of
from graph.db.tables import Inserting, receipts, worded
from graph.runs.lease import Hold, fence_of, holding
from nodes.mcp_tools import ExecutionContext, Receipt, ToolOutcome, outcome_as_json, outcome_from_json

_RECEIPTS = Inserting(receipts, new_only=True)
_KEPT = "SELECT CAST(outcome AS TEXT), started_at FROM receipts WHERE run_id = ? AND call_id = ?"
_END = "UPDATE receipts SET outcome = ?, ended_at = ? WHERE run_id = ? AND call_id = ?"
_FORGET = "DELETE FROM receipts WHERE run_id = ? AND call_id = ? AND ended_at IS NULL"


class StoredReceipts:
    """Keeps a receipt per run and call. Where no thread is held (Studio), none are kept.

    Args:
        engine: Gives the database, with the first receipt: a process that keeps none opens none.
    """

    def __init__(self, engine: Callable[[], Awaitable[AsyncEngine]]) -> None:
        self._engine = engine
        self._one: Writer | None = None

    async def begin(self, context: ExecutionContext) -> Receipt:
        """See `nodes.mcp_tools.ports.Receipts`. A holder that lost its thread is stopped here."""
        hold = _working()
        if hold is None:
            return Receipt()
        row = {
            "run_id": hold.run_id,
            "call_id": context.call_id,
            "thread_id": hold.thread_id,
            "started_at": now_of(await self._engine()),
        }
        return await endured(self._begin, hold, row)

    async def _begin(self, hold: Hold, row: Mapping[str, Any]) -> Receipt:
        engine = await self._engine()
        mine = (row["run_id"], row["call_id"])
        unit = Unit(fence_of(hold), [_RECEIPTS.into(engine, [row])], query=(worded(engine, _KEPT), mine))
        ((outcome, started_at),) = await self._writer(engine).write(unit)
        if outcome is None and started_at == row["started_at"]:
            # This very beginning, perhaps told for a second time: its answer was lost with the database, and
            # the call has not been made.
            return Receipt()
        return Receipt(begun=True, outcome=outcome_from_json(from_json(outcome)) if outcome else None)

    async def end(self, context: ExecutionContext, outcome: ToolOutcome) -> None:
        """See `nodes.mcp_tools.ports.Receipts`. Stored with the checkpoint of its result, or before."""
        if hold := _working():
            engine = await self._engine()
            values = as_json(outcome_as_json(outcome)), now_of(engine)
            self._hand_over(engine, hold, _END, *values, hold.run_id, context.call_id)

    async def forget(self, context: ExecutionContext) -> None:
        """See `nodes.mcp_tools.ports.Receipts`. An outcome that is known is kept."""
        if hold := _working():
            engine = await self._engine()
            self._hand_over(engine, hold, _FORGET, hold.run_id, context.call_id)

    def _hand_over(self, engine: AsyncEngine, hold: Hold, sql: str, *values: Any) -> None:
        self._writer(engine).later(Unit(fence_of(hold), [(worded(engine, sql), [values])]))

    def _writer(self, engine: AsyncEngine) -> Writer:
        if self._one is None:
            self._one = writer_of(engine)
        return self._one


def _working() -> Hold | None:
    """What this task has taken for a run."""
    hold = holding()
    return hold if hold is not None and hold.run_id else None


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
    await writer_of(engine).stored(thread_id)
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
