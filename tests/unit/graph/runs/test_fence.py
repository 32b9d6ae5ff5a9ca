"""A holder that was believed dead and goes on after all writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal
from graph.checkpoints.saver import Saver, opened_saver
from graph.db.database import opened_database
from graph.db.tables import receipts, run_events, transcript
from graph.errors import LeaseLost
from graph.flow.state import rows_of
from graph.runs.lease import Hold, assert_held, fenced, hold_on, holding
from graph.runs.receipts import StoredReceipts, forget_receipts, outcomes_of
from graph.runs.record import Run
from nodes.mcp_tools.models import Artifact, ExecutionContext, ToolOutcome
from tests.unit.graph.run_kit import Desk

PLACE: RunnableConfig = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
FILE = Artifact("a1", "sum.bin", "application/octet-stream", b"\x00\xff")
OUTCOME = ToolOutcome("c1", "sums", "add", {"a": 1}, "ok", "3", 7, (FILE,), {"view": "table"})
CALL = ExecutionContext(Principal("ada"), thread_id="t", call_id="c1")


@pytest.fixture
async def engine(database: URL) -> AsyncIterator[AsyncEngine]:
    async with opened_database(database) as engine:
        yield engine


@pytest.fixture
def desk(engine: AsyncEngine) -> Desk:
    return Desk.at(engine)


@pytest.fixture
async def saver(database: URL, engine: AsyncEngine) -> AsyncIterator[Saver]:
    async with opened_saver(database) as saver:
        yield saver


@pytest.fixture
def stored_receipts(engine: AsyncEngine) -> StoredReceipts:
    async def database() -> AsyncEngine:
        return engine

    return StoredReceipts(database)


async def put(saver: Saver) -> str:
    checkpoint: Any = empty_checkpoint()
    await saver.aput(PLACE, checkpoint, {"source": "loop", "step": 1}, {})
    return str(checkpoint["id"])


async def put_writes(saver: Saver, checkpoint_id: str) -> None:
    at: RunnableConfig = {"configurable": {**PLACE["configurable"], "checkpoint_id": checkpoint_id}}
    await saver.aput_writes(at, [("messages", "x")], "task")


async def newest(saver: Saver) -> tuple[str, int]:
    """The newest checkpoint of the thread, and how many writes hang on it."""
    found = await saver.aget_tuple(PLACE)
    assert found is not None
    return str(found.checkpoint["id"]), len(found.pending_writes or ())


async def taken_over(desk: Desk) -> Run:
    await desk.expire()
    return await Desk.at(desk.engine).begun("mine now")


async def test_a_checkpoint_is_written_by_the_holder_and_by_nobody_else(desk: Desk, saver: Saver) -> None:
    run = await desk.begun()
    with pytest.raises(LeaseLost):
        await put(saver)
    with fenced("u", run.hold.fence), pytest.raises(LeaseLost):
        await put(saver)
    with fenced("t", run.hold.fence):
        first = await put(saver)
        await put_writes(saver, first)
        assert await newest(saver) == (first, 1)
        new = await taken_over(desk)
        await put_writes(saver, first)  # nobody waits for it: the next checkpoint is refused
        with pytest.raises(LeaseLost):
            await put(saver)
        await put_writes(saver, first)
        assert await newest(saver) == (first, 1), "nothing was written"
    with fenced("t", new.hold.fence):
        second = await put(saver)
    assert await newest(saver) == (second, 0)


async def test_a_refused_checkpoint_leaves_the_saver_able_to_write(desk: Desk, saver: Saver) -> None:
    run = await desk.begun()
    for _ in range(3):
        with fenced("t", run.hold.fence + 1), pytest.raises(LeaseLost):
            await put(saver)
        with fenced("t", run.hold.fence):
            last = await put(saver)
    assert (await newest(saver))[0] == last
    assert not await desk.end(run), "no transaction is left open that would lock the database"


async def test_a_thread_is_taken_over_between_two_checkpoints_and_not_within_one(
    desk: Desk, saver: Saver
) -> None:
    run = await desk.begun()
    written: list[str] = []
    began = asyncio.Event()

    async def write() -> None:
        with fenced("t", run.hold.fence):
            while True:
                written.append(await put(saver))
                began.set()

    writing = asyncio.create_task(write())
    async with asyncio.timeout(20):
        await began.wait()
        new = await taken_over(desk)
        with pytest.raises(LeaseLost):
            await writing
    assert await newest(saver) == (written[-1], 0), "whatever was stored was acknowledged"
    with fenced("t", new.hold.fence):
        mine = await put(saver)
    assert (await newest(saver))[0] == mine


async def test_a_lost_run_is_not_ended_and_tells_nothing(desk: Desk) -> None:
    run = await desk.begun("one")
    new = await taken_over(desk)
    before = await desk.run(run.id), await desk.thread(), await desk.count(run_events)
    late = run.log.numbered({"type": "done"})
    said = rows_of("t", run.id, [], None)
    with pytest.raises(LeaseLost):
        await desk.end(run, events=[late], messages=said, output={"answer": "late"})
    assert (await desk.run(run.id), await desk.thread(), await desk.count(run_events)) == before
    assert (await desk.thread())["run_id"] == new.id


async def test_an_ending_writes_messages_and_events_with_it_or_none_of_them(desk: Desk) -> None:
    run = await desk.begun("one")
    message = {
        "thread_id": "t",
        "message_id": "a1",
        "role": "assistant",
        "text": "hi",
        "extra": {},
        "run_id": run.id,
        "created_at": 1.0,
    }
    await taken_over(desk)
    messages = await desk.count(transcript)
    with pytest.raises(LeaseLost):
        await desk.end(run, messages=[message])
    assert await desk.count(transcript) == messages


@pytest.mark.parametrize("number", [0, 2, 99])
async def test_only_the_number_of_now_is_held(desk: Desk, number: int) -> None:
    run = await desk.begun()
    async with desk.engine.begin() as db:
        await assert_held(db, run.hold)
        with pytest.raises(LeaseLost):
            await assert_held(db, Hold("t", run.id, number))


def test_a_task_without_a_thread_holds_none() -> None:
    assert holding() is None
    with pytest.raises(LeaseLost):
        hold_on("t")
    with fenced("t", 3, run_id="r") as hold:
        assert hold_on("t") == hold == holding()
        with fenced("u", 1), pytest.raises(LeaseLost):
            hold_on("t")
        assert hold_on("t") == hold
    assert holding() is None


# -- receipts -------------------------------------------------------------------------------------


async def test_a_receipt_is_kept_from_the_call_to_its_outcome(
    desk: Desk, stored_receipts: StoredReceipts
) -> None:
    run = await desk.begun()
    with fenced("t", run.hold.fence, run_id=run.id):
        first = await stored_receipts.begin(CALL)
        assert (first.begun, first.outcome) == (False, None)
        again = await stored_receipts.begin(CALL)
        assert (again.begun, again.outcome) == (True, None)
        await stored_receipts.end(CALL, OUTCOME)
        assert (await stored_receipts.begin(CALL)).outcome == OUTCOME
    assert await outcomes_of(desk.engine, "t", ["c1", "c2"]) == {"c1": OUTCOME}
    assert await outcomes_of(desk.engine, "t", []) == {}
    assert await outcomes_of(desk.engine, "u", ["c1"]) == {}


async def test_receipts_are_each_runs_own_and_go_with_a_turn_that_ended_well(
    desk: Desk, stored_receipts: StoredReceipts
) -> None:
    run = await desk.begun()
    with fenced("t", run.hold.fence, run_id=run.id):
        await stored_receipts.begin(CALL)
        await stored_receipts.end(CALL, OUTCOME)
    await desk.end(run, "failed")
    assert await desk.count(receipts) == 1, "the next turn answers the call from it"
    second = await desk.begun("two")
    with fenced("t", second.hold.fence, run_id=second.id):
        assert not (await stored_receipts.begin(CALL)).begun, "the same id of another run is another call"
    await forget_receipts(desk.engine, "t", but_of=second.id)
    assert await outcomes_of(desk.engine, "t", ["c1"]) == {}
    assert await desk.count(receipts) == 1
    await desk.end(second, has_calls=True)
    assert await desk.count(receipts) == 0


async def test_a_lost_holder_begins_no_call_and_ends_none(
    desk: Desk, stored_receipts: StoredReceipts
) -> None:
    run = await desk.begun()
    with fenced("t", run.hold.fence, run_id=run.id):
        await stored_receipts.begin(CALL)
        await taken_over(desk)
        await stored_receipts.end(CALL, OUTCOME)  # nobody waits for it
        with pytest.raises(LeaseLost):
            await stored_receipts.begin(CALL)
    assert await outcomes_of(desk.engine, "t", ["c1"]) == {}


async def test_where_no_thread_is_held_no_receipts_are_kept(
    desk: Desk, stored_receipts: StoredReceipts
) -> None:
    run = await desk.begun()
    for _ in range(2):
        assert not (await stored_receipts.begin(CALL)).begun
        await stored_receipts.end(CALL, OUTCOME)
    with fenced("t", run.hold.fence):  # upkeep works for no run
        assert not (await stored_receipts.begin(CALL)).begun
        await stored_receipts.end(CALL, OUTCOME)
    assert await desk.count(receipts) == 0
