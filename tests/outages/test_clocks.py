"""Two machines whose clocks differ share a PostgreSQL: its clock decides what has run out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager

import pytest
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from core.events.deliveries import Deliveries
from core.holder import alive
from core.identity.authenticator import Credentials
from core.identity.keys import KeyStore
from core.task_queue.ledger import Ledger
from core.task_queue.record import TaskRecord, TaskStatus
from graph.db.database import opened_database
from graph.runs.lease import LEASE_SECONDS
from tests.kit.task_queues import ADA
from tests.unit.graph.run_kit import Desk, new_run

SKEWS = (-30.0, 30.0)
_real = time.time


@contextmanager
def clock_off(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[None]:
    """The block runs on a machine whose clock is wrong by so many seconds."""
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: _real() + seconds)
        yield


@pytest.fixture
async def machines(postgres_url: URL) -> AsyncIterator[tuple[AsyncEngine, AsyncEngine]]:
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(opened_database(postgres_url))
        yield here, await stack.enter_async_context(opened_database(postgres_url))


@pytest.mark.parametrize("skew", SKEWS)
async def test_g3_1_a_living_run_is_not_adopted_by_a_machine_whose_clock_is_wrong(
    machines: tuple[AsyncEngine, AsyncEngine], monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    here, there = (Desk.at(engine) for engine in machines)
    with alive(here.leases.holder), alive(there.leases.holder):
        run = await here.begun(policy="resume")
        with clock_off(monkeypatch, skew):
            assert await there.lookup.orphaned_threads() == []
            assert await there.claims.orphan_of("t") is None
            await there.leases.prolong()
        await here.end(run)
        with clock_off(monkeypatch, skew):
            other = await there.begun(policy="resume")
            await there.leases.prolong()
        assert await here.lookup.orphaned_threads() == []
        await there.end(other)


@pytest.mark.parametrize("skew", SKEWS)
async def test_g3_1_a_lease_that_ran_out_is_seen_by_every_clock(
    machines: tuple[AsyncEngine, AsyncEngine], monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    here, there = (Desk.at(engine) for engine in machines)
    with alive(here.leases.holder), alive(there.leases.holder):
        await here.begun(policy="resume")
        await here.expire(holder=here.leases.holder)
        with clock_off(monkeypatch, skew):
            assert await there.lookup.orphaned_threads() == ["t"]


@pytest.mark.parametrize("skew", SKEWS)
async def test_g3_1_a_claimed_task_is_left_to_whoever_works_on_it(
    machines: tuple[AsyncEngine, AsyncEngine], monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    here, there = (Ledger(engine) for engine in machines)
    with clock_off(monkeypatch, skew):
        await here.add(_task("a", here.now))
        assert await there.due(["work"], limit=5) == ["a"]
        held = await here.claim("a", "here", lease_s=LEASE_SECONDS, names=["work"])
    assert held is not None
    assert await there.abandoned(lambda holder: False) == []
    with clock_off(monkeypatch, -skew):
        assert await there.abandoned(lambda holder: False) == []


@pytest.mark.parametrize("skew", SKEWS)
async def test_g3_1_times_that_are_stored_are_the_database_s(
    machines: tuple[AsyncEngine, AsyncEngine], monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    here, there = machines
    with clock_off(monkeypatch, skew):
        run = await Desk.at(here).ledger.open(new_run())
        kept = await Deliveries(here).add("hook", "event", b"{}")
        assert await Deliveries(here).waiting_since(Deliveries(here).now() - 5) == [kept]
        keys = KeyStore(here)
        _, key = await keys.create("ada", expires_at=_real() + 15)
        assert await keys.principal(Credentials({"authorization": f"Bearer {key}"}))
        await keys.aclose()
    assert abs(run.record.created_at - _real()) < 15
    assert await Deliveries(there).waiting_since(Deliveries(there).now() - 15) == [kept]


def _task(task_id: str, now: Callable[[], float]) -> TaskRecord:
    return TaskRecord(
        id=task_id,
        name="work",
        arguments={},
        key=None,
        owner=ADA,
        status=TaskStatus.QUEUED,
        attempts=0,
        progress=None,
        total=None,
        message="",
        error="",
        created_at=now(),
        due_at=now(),
        started_at=None,
        ended_at=None,
        cancel_requested=False,
    )
