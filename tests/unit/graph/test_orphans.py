"""Runs whose process is gone, and runs that somebody wants stopped: in every status, from any process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from core.events.tables import webhook_deliveries
from graph.db.database import opened_database
from graph.db.tables import run_events, runs
from graph.errors import LeaseLost, NothingToResume, RunEnded, ThreadBusy
from graph.runs.events import store
from graph.runs.ledger import AT_MOST_ATTEMPTS
from graph.runs.record import SEQ_BLOCK, Policy, Run
from graph.runs.rows import delivery_of
from tests.unit.graph.run_kit import ADA, Desk, going, new_run


@pytest.fixture
async def desk(database: URL) -> AsyncIterator[Desk]:
    async with opened_database(database) as engine:
        yield Desk.at(engine)


@pytest.fixture
def other(desk: Desk) -> Desk:
    """Another process, of a service that looks after orphans."""
    return Desk.at(desk.engine, supervised=True)


async def adopted(desk: Desk) -> Run:
    """The orphan of the thread, taken over."""
    claim = await desk.claims.orphan_of("t")
    assert claim is not None
    return going(claim)


async def told(desk: Desk, run: Run, *texts: str) -> None:
    """The run has said this, and it is stored."""
    for text in texts:
        run.log.add({"type": "token", "delta": text})
    async with desk.engine.begin() as db:
        await store(db, run.thread_id, run.log.unstored())


async def test_an_orphan_is_taken_over_as_the_same_run_under_a_higher_number(desk: Desk, other: Desk) -> None:
    run = await desk.begun("one", policy="resume", tools=("a",))
    assert await other.claims.orphan_of("nowhere") is None
    await desk.expire()
    assert await other.lookup.orphaned_threads() == ["t"]
    again = await adopted(other)
    assert (again.id, again.attempt, again.record.policy) == (run.id, 2, "resume")
    assert again.hold.fence == run.hold.fence + 1
    assert again.hold.dirty
    assert again.log.floor == SEQ_BLOCK
    assert again.request == run.request
    assert (await desk.run(run.id))["holder"] == other.leases.holder
    assert await other.lookup.orphaned_threads() == []
    assert await other.claims.orphan_of("t") is None, "it has a holder again"


async def test_a_run_with_a_living_holder_is_no_orphan(desk: Desk, other: Desk) -> None:
    async with desk.leases.beating():
        await desk.begun()
        assert await other.lookup.orphaned_threads() == []
        assert await other.claims.orphan_of("t") is None


@pytest.mark.parametrize("policy", ["end", "resume"])
async def test_where_nobody_looks_after_orphans_a_message_takes_their_place(
    desk: Desk, policy: Policy
) -> None:
    lost = await desk.begun("one", policy=policy)
    await told(desk, lost, "half an ", "answer")
    await desk.expire()
    run = await desk.begun("two")
    assert run.hold.dirty
    row = await desk.run(lost.id)
    assert (row["status"], row["reason"], row["output"]["answer"]) == (
        "interrupted",
        "orphaned",
        "half an answer",
    )
    assert await desk.said() == [("user", "one")], "the second is told when the thread is settled"
    last = (await desk.events.read(lost.id, 0))[-1]
    assert (last.event["type"], last.event["status"], last.event["run_id"]) == (
        "done",
        "interrupted",
        lost.id,
    )
    assert last.seq > SEQ_BLOCK


async def test_an_orphan_that_will_be_gone_on_with_holds_its_thread(desk: Desk, other: Desk) -> None:
    lost = await desk.begun("one", policy="resume")
    await desk.expire()
    with pytest.raises(ThreadBusy):
        await other.begun("two")
    behind = await other.ledger.open(new_run("three", on_busy="enqueue"))
    assert behind.hold is None
    again = await adopted(other)
    assert again.id == lost.id
    assert await other.end(again)


async def test_an_orphan_that_shall_end_makes_place_for_a_message_at_once(desk: Desk, other: Desk) -> None:
    lost = await desk.begun("one", policy="end")
    await desk.expire()
    await other.begun("two")
    assert (await desk.run(lost.id))["reason"] == "orphaned"


async def test_a_run_that_kills_its_process_each_time_makes_place_too(desk: Desk, other: Desk) -> None:
    await desk.begun("one", policy="resume")
    for attempt in range(2, AT_MOST_ATTEMPTS + 1):
        await desk.expire()
        assert (await adopted(other)).record.tries == attempt
    await desk.expire()
    await other.begun("two")


async def test_pauses_for_a_person_and_for_a_shutdown_are_no_deaths(desk: Desk, other: Desk) -> None:
    run = await desk.begun("one", policy="resume")
    for _ in range(AT_MOST_ATTEMPTS):
        await desk.pause(run)
        run = going(await desk.ledger.reopen(ADA, run.id, {"i1": {"approve": True}}))
        await desk.end(run, "queued", again=True)
        claim = await desk.claims.next_of("t")
        assert claim is not None
        run = going(claim)
    assert run.attempt == 2 * AT_MOST_ATTEMPTS + 1
    assert run.record.tries == 1
    await desk.expire()
    with pytest.raises(ThreadBusy):
        await other.begun("two")
    assert (await adopted(other)).record.tries == 2


async def test_a_question_that_was_answered_is_in_the_run_that_is_taken_over(desk: Desk, other: Desk) -> None:
    run = await desk.begun(policy="resume")
    await desk.pause(run)
    await desk.ledger.reopen(ADA, run.id, {"i1": {"approve": True}})
    await desk.expire()
    assert (await adopted(other)).record.answers == {"i1": {"approve": True}}


async def test_a_drained_run_goes_on_before_those_that_wait(desk: Desk) -> None:
    run = await desk.begun("one", policy="resume")
    await desk.ledger.open(new_run("two", on_busy="enqueue"))
    assert await desk.end(run, "queued", again=True, reason="drained")
    row = await desk.run(run.id)
    assert (row["status"], row["ended_at"], row["holder"]) == ("queued", None, None)
    assert (await desk.thread())["turns"] == 0, "its turn is not over"
    claim = await desk.claims.next_of("t")
    assert claim is not None
    assert (claim.record.id, claim.record.attempts) == (run.id, 2)


# -- stopping -------------------------------------------------------------------------------------


async def test_a_running_run_is_asked_to_stop_and_its_holder_hears_of_it(desk: Desk, other: Desk) -> None:
    async with desk.leases.beating():
        run = await desk.begun()
        record = await other.ledger.ask_to_stop(ADA, run.id)
        assert record.status == "running"
        assert await other.lookup.stops() == {}
        assert await desk.lookup.stops() == {run.id: "cancel"}
        await desk.end(run, "cancelled")
        assert await desk.lookup.stops() == {}


async def test_a_cancel_is_stronger_than_a_message_that_takes_the_place(desk: Desk) -> None:
    run = await desk.begun()
    await desk.ledger.open(new_run("two", on_busy="interrupt"))
    await desk.ledger.ask_to_stop(ADA, run.id)
    await desk.ledger.open(new_run("three", on_busy="interrupt"))
    assert await desk.lookup.stops() == {run.id: "cancel"}


async def test_a_waiting_run_that_is_cancelled_ends_at_once_with_its_last_event(desk: Desk) -> None:
    await desk.begun("one")
    claim = await desk.ledger.open(new_run("two", on_busy="enqueue"))
    record = await desk.ledger.ask_to_stop(ADA, claim.record.id)
    assert (record.status, record.reason, record.active) == ("cancelled", "asked", False)
    assert record.output is not None
    assert record.output["status"] == "cancelled"
    (last,) = await desk.events.read(record.id, 0)
    assert (last.seq, last.event["type"], last.event["status"]) == (1, "done", "cancelled")
    assert await desk.claims.next_of("t") is None


async def test_a_question_that_is_cancelled_waits_no_more(desk: Desk) -> None:
    run = await desk.begun()
    await desk.pause(run)
    record = await desk.ledger.ask_to_stop(ADA, run.id)
    assert (record.status, record.reason) == ("cancelled", "asked")
    thread = await desk.thread()
    assert (thread["status"], thread["waiting"], thread["dirty"]) == ("idle", None, True)
    with pytest.raises(NothingToResume):
        await desk.ledger.reopen(ADA, run.id, {"i1": {"approve": True}})
    assert (await desk.begun("two")).hold.dirty


async def test_a_stopped_run_that_nobody_waits_for_can_be_cancelled_too(desk: Desk) -> None:
    run = await desk.begun()
    await desk.end(run, "interrupted", reason="drained")
    assert (await desk.ledger.ask_to_stop(ADA, run.id)).status == "cancelled"


@pytest.mark.parametrize("status", ["done", "failed", "cancelled"])
async def test_what_is_over_cannot_be_cancelled(desk: Desk, status: str) -> None:
    run = await desk.begun()
    await desk.end(run, status)
    with pytest.raises(RunEnded, match=status):
        await desk.ledger.ask_to_stop(ADA, run.id)


@pytest.mark.parametrize("policy", ["end", "resume"])
async def test_an_orphan_is_cancelled_by_whoever_asks(desk: Desk, other: Desk, policy: Policy) -> None:
    run = await desk.begun("one", policy=policy)
    await told(desk, run, "half")
    await desk.ledger.open(new_run("two", on_busy="enqueue"))
    await desk.expire()
    record = await other.ledger.ask_to_stop(ADA, run.id)
    assert (record.status, record.reason, record.active) == ("cancelled", "asked", False)
    assert record.output is not None
    assert record.output["answer"] == "half"
    thread = await desk.thread()
    assert (thread["run_id"], thread["status"], thread["dirty"]) == (None, "idle", True)
    assert await other.lookup.orphaned_threads() == []
    claim = await other.claims.next_of("t")
    assert claim is not None
    assert claim.record.request.message == "two"
    with pytest.raises(LeaseLost):
        await desk.end(run)
    assert await desk.count(runs) == 2
    assert await desk.count(run_events) == 2


async def test_the_webhook_of_an_orphan_whose_place_was_taken_is_still_told(desk: Desk, other: Desk) -> None:
    lost = await desk.begun("one", policy="end", webhook="mine")
    await desk.expire()
    claim = await other.ledger.open(new_run("two"))
    async with desk.engine.connect() as db:
        kept = (await db.execute(select(webhook_deliveries.c.id))).scalars().all()
    assert list(kept) == [claim.delivery] == [delivery_of(lost.id, 1, "interrupted")]
