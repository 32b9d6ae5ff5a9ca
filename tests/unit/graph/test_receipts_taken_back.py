"""A call that ended with a question is noted anew when it is made again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal
from graph.db.database import opened_database, writer_of
from graph.db.tables import receipts
from graph.runs.lease import fenced
from graph.runs.receipts import StoredReceipts
from nodes.mcp_tools.models import ExecutionContext, ToolOutcome
from tests.unit.graph.run_kit import Desk

CALL = ExecutionContext(Principal("ada"), thread_id="t", call_id="c1")
OTHER = ExecutionContext(Principal("ada"), thread_id="t", call_id="c2")
OUTCOME = ToolOutcome("c1", "hotels", "book", {}, "ok", "booked")


@pytest.fixture
async def desk(database: URL) -> AsyncIterator[Desk]:
    async with opened_database(database) as engine:
        yield Desk.at(engine)


@pytest.fixture
def kept(desk: Desk) -> StoredReceipts:
    async def database() -> AsyncEngine:
        return desk.engine

    return StoredReceipts(database)


async def test_a_receipt_that_was_taken_back_was_never_there(desk: Desk, kept: StoredReceipts) -> None:
    run = await desk.begun()
    with fenced("t", run.hold.fence, run_id=run.id):
        await kept.begin(CALL)
        await kept.begin(OTHER)
        await kept.forget(CALL)
        assert not (await kept.begin(CALL)).begun
        assert (await kept.begin(OTHER)).begun, "another call's is left alone"


async def test_an_outcome_that_is_known_is_not_taken_back(desk: Desk, kept: StoredReceipts) -> None:
    run = await desk.begun()
    with fenced("t", run.hold.fence, run_id=run.id):
        await kept.begin(CALL)
        await kept.end(CALL, OUTCOME)
        await kept.forget(CALL)
        assert (await kept.begin(CALL)).outcome == OUTCOME


async def test_a_lost_holder_takes_nothing_back(desk: Desk, kept: StoredReceipts) -> None:
    run = await desk.begun()
    with fenced("t", run.hold.fence, run_id=run.id):
        await kept.begin(CALL)
        await desk.expire()
        await Desk.at(desk.engine).begun("mine now")
        await kept.forget(CALL)
    await writer_of(desk.engine).stored("t")
    assert await desk.count(receipts) == 1


async def test_where_no_thread_is_held_there_is_nothing_to_take_back(
    desk: Desk, kept: StoredReceipts
) -> None:
    run = await desk.begun()
    with fenced("t", run.hold.fence, run_id=run.id):
        await kept.begin(CALL)
    await kept.forget(CALL)
    assert await desk.count(receipts) == 1
