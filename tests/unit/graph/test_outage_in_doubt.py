"""A write whose answer is lost with the database: it stands, and the writer does not know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal
from core.database.outage import DatabaseUnavailable, Endurance, enduring
from core.holder import alive
from core.settings.roles import Duty
from core.signals import Signals
from core.signals.signals import NoRelay
from graph.db.database import opened_database
from graph.runs.lease import LeaseState, fenced, locked
from graph.runs.receipts import StoredReceipts
from graph.runs.record import Outcome, Run
from graph.runs.streams import EventWriter
from graph.turn.attempt import Endings
from nodes.mcp_tools.models import ExecutionContext
from tests.kit.event_logs import reading_of
from tests.unit.graph.run_kit import Desk, new_run

AWAY = DatabaseUnavailable("does not answer")
CALL = ExecutionContext(Principal("ada"), thread_id="t", call_id="c1")


class Fragile:
    """Does its work; then the answer is lost, or before it nothing is done, so many times."""

    def __init__(self, work: Callable[..., Awaitable[Any]], times: int, *, done: bool) -> None:
        self._work = work
        self._times = times
        self._done = done
        self.failed = asyncio.Event()

    async def __call__(self, *args: Any, **options: Any) -> Any:
        if not self._times:
            return await self._work(*args, **options)
        self._times -= 1
        self.failed.set()
        if self._done:
            await self._work(*args, **options)
        raise AWAY


@pytest.fixture
async def desk(database: URL) -> AsyncIterator[Desk]:
    async with opened_database(database) as engine:
        desk = Desk.at(engine)
        with alive(desk.leases.holder):
            yield desk


@pytest.fixture
def kept(desk: Desk) -> StoredReceipts:
    async def database() -> AsyncEngine:
        return desk.engine

    return StoredReceipts(database)


async def test_st6_a_call_whose_beginning_was_noted_unheard_is_made_and_not_called_unknown(
    desk: Desk, kept: StoredReceipts, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await desk.begun()
    monkeypatch.setattr(kept, "_begin", Fragile(kept._begin, 1, done=True))
    with fenced("t", run.hold.fence, run_id=run.id), enduring(Endurance(60)):
        assert not (await kept.begin(CALL)).begun
        assert (await kept.begin(CALL)).begun, "a later attempt does not know whether it was made"


async def test_st6_a_run_that_was_stored_and_told_as_failed_holds_nothing_up(desk: Desk) -> None:
    run = await desk.begun(policy="resume")
    desk.leases.drop(run.id)
    async with desk.engine.begin() as db:
        row = await locked(db, "t")
        assert row is not None
        assert desk.leases.state_of(row) is LeaseState.ORPHANED
    assert await desk.lookup.orphaned_threads() == ["t"]
    assert (await desk.begun("next")).id != run.id


def endings(desk: Desk) -> Endings:
    return Endings(desk.ledger, EventWriter(desk.engine, Signals(NoRelay("alone"))), Duty())


def outcome() -> Outcome:
    return Outcome(status="done")


async def ended_through(desk: Desk, run: Run, close: Fragile, monkeypatch: pytest.MonkeyPatch) -> Endings:
    monkeypatch.setattr(desk.ledger, "close", close)
    monkeypatch.setattr("graph.turn.attempt.FIRST_PAUSE_S", 0.001)
    ends = endings(desk)
    await ends.end(run, outcome())
    return ends


async def test_st6_an_ending_is_tried_until_it_stands_and_the_thread_is_free_then(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await desk.begun()
    await ended_through(desk, run, Fragile(desk.ledger.close, 2, done=False), monkeypatch)
    assert [entry.event["type"] for entry in run.log.unstored()] == ["notice", "done"]
    assert (await desk.run(run.id))["status"] == "done"
    assert run.error is None
    assert (await desk.thread())["run_id"] is None


async def test_st6_an_ending_that_was_stored_unheard_is_not_written_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await desk.begun()
    await desk.ledger.open(new_run("waits", on_busy="enqueue"))
    ends = endings(desk)
    monkeypatch.setattr(desk.ledger, "close", Fragile(desk.ledger.close, 1, done=True))
    monkeypatch.setattr("graph.turn.attempt.FIRST_PAUSE_S", 0.001)
    await ends.end(run, outcome())
    heard = [entry async for entry in reading_of(run.log)]
    assert [entry.kind for entry in heard] == ["notice", "done"], "its readers hear the stored end"
    (stored,) = await desk.events.read(run.id, 0)
    assert (stored.seq, stored.event["status"]) == (heard[0].seq, heard[1].event["status"])
    assert run.more_wait, "what waits for the thread is looked at"
    assert (await desk.run(run.id))["status"] == "done"


@pytest.mark.parametrize(("asked", "status"), [([], "queued"), ([{"id": "q1"}], "interrupted")])
async def test_a_run_that_asks_a_person_while_its_service_stops_waits_for_the_person_and_not_in_the_line(
    desk: Desk, asked: list[dict[str, Any]], status: str
) -> None:
    run = await desk.begun(policy="resume")
    run.stop("drain", grace_s=60)
    await endings(desk).end(run, Outcome(status="interrupted", interrupts=asked))
    ended, thread = await desk.run(run.id), await desk.thread()
    # The thread of one that waits for its turn is free: nothing would ever begin it otherwise.
    assert (ended["status"], thread["status"]) == (status, "interrupted" if asked else "idle")


async def test_st6_a_service_that_stops_leaves_an_ending_to_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await desk.begun()
    close = Fragile(desk.ledger.close, 1_000_000, done=False)
    monkeypatch.setattr(desk.ledger, "close", close)
    ends = endings(desk)
    ending = asyncio.create_task(ends.end(run, outcome()))
    await close.failed.wait()
    ends.closing.set()
    async with asyncio.timeout(10):
        await ending
    assert run.error is not None
    assert run.error.code == "storage_unavailable"
    assert run.log.closed


async def test_st6_a_lease_whose_end_could_not_be_stored_is_held_on(desk: Desk) -> None:
    run = await desk.begun()

    def end() -> None:
        with desk.leases.ending(run.id):
            assert desk.leases.keeps(run.id)
            raise AWAY

    with pytest.raises(DatabaseUnavailable):
        end()
    assert desk.leases.keeps(run.id)
