"""The ledger on both databases: who may claim what, and whose word counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.engine import URL, make_url

from core.task_queue.ledger import Held, Ledger
from core.task_queue.record import TaskRecord, TaskStatus
from graph.db.database import opened_database
from tests.kit.task_queues import ADA, PATIENCE_S, Work, opened_queue, sqlite

NAMES = ["work"]


class Clock:
    """Epoch seconds that a test moves."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Ledger]:
    on_sqlite = request.param == "sqlite"
    url = make_url(sqlite(tmp_path)) if on_sqlite else request.getfixturevalue("postgres_url")
    async with opened_database(url) as engine:
        yield Ledger(engine, clock=clock)


def queued(task_id: str, clock: Clock, *, key: str | None = None) -> TaskRecord:
    return TaskRecord(
        id=task_id,
        name="work",
        arguments={"item": "a"},
        key=key,
        owner=ADA,
        status=TaskStatus.QUEUED,
        attempts=0,
        progress=None,
        total=None,
        message="",
        error="",
        created_at=clock.now,
        due_at=clock.now,
        started_at=None,
        ended_at=None,
        cancel_requested=False,
    )


async def claim(ledger: Ledger, task_id: str, holder: str = "me") -> Held | None:
    return await ledger.claim(task_id, holder, lease_s=10, names=NAMES)


async def test_what_is_added_is_read_again_as_it_was(ledger: Ledger, clock: Clock) -> None:
    record = queued("t1", clock, key="k")
    assert await ledger.add(record)
    assert await ledger.get("t1") == record
    assert await ledger.open_with_key("work", "k") == record
    assert not await ledger.add(replace(record, key=None))
    assert not await ledger.add(replace(record, id="t2"))
    assert await ledger.get("t2") is None


async def test_of_many_claims_at_once_one_succeeds(ledger: Ledger, clock: Clock) -> None:
    await ledger.add(queued("t1", clock))
    claims = await asyncio.gather(*(claim(ledger, "t1", f"h{n}") for n in range(10)))
    assert len([one for one in claims if one]) == 1


async def test_what_is_not_due_or_not_known_cannot_be_claimed(ledger: Ledger, clock: Clock) -> None:
    await ledger.add(replace(queued("t1", clock), due_at=clock.now + 5))
    assert await claim(ledger, "t1") is None
    assert await ledger.due(NAMES, limit=5) == []
    clock.now += 5
    assert await ledger.due(NAMES, limit=5) == ["t1"]
    assert await ledger.due(["other"], limit=5) == []
    assert await ledger.claim("t1", "me", lease_s=10, names=["other"]) is None
    assert await claim(ledger, "t1")


async def test_a_lease_that_nobody_prolongs_ends(ledger: Ledger, clock: Clock) -> None:
    for task_id in ("t1", "t2"):
        await ledger.add(queued(task_id, clock))
        assert await claim(ledger, task_id)
    clock.now += 8
    # Only what the holder really runs: a claim whose answer got lost ends with its lease.
    assert await ledger.beat("me", ["t1"], lease_s=10) == {"t1": False}
    clock.now += 8
    assert [held.record.id for held in await ledger.abandoned(lambda _: False)] == ["t2"]
    assert {held.record.id for held in await ledger.abandoned(lambda _: True)} == {"t1", "t2"}


async def test_a_holder_that_lost_the_task_changes_nothing(ledger: Ledger, clock: Clock) -> None:
    await ledger.add(queued("t1", clock))
    first = await claim(ledger, "t1", "first")
    assert first
    assert await ledger.try_again(first, delay_s=0, error="worker_lost")
    # The same process may have it again: the attempt counts too.
    second = await claim(ledger, "t1", "first")
    assert second
    assert second.record.attempts == 2
    await ledger.progress(first, 1, 2, "late")
    assert not await ledger.finish(first, TaskStatus.FAILED, error="late")
    assert not await ledger.give_back(first)
    now = await ledger.get("t1")
    assert now
    assert (now.status, now.error, now.progress) == (TaskStatus.RUNNING, "worker_lost", None)
    assert await ledger.finish(second, TaskStatus.DONE)


async def test_a_wish_to_cancel_outlives_the_attempt(ledger: Ledger, clock: Clock) -> None:
    await ledger.add(queued("t1", clock))
    held = await claim(ledger, "t1")
    assert held
    wished = await ledger.cancel("t1")
    assert wished
    assert (wished.status, wished.cancel_requested) == (TaskStatus.RUNNING, True)
    assert await ledger.beat("me", ["t1"], lease_s=10) == {"t1": True}
    assert await ledger.try_again(held, delay_s=0, error="late")
    ended = await ledger.get("t1")
    assert ended
    assert (ended.status, ended.ended_at) == (TaskStatus.CANCELLED, clock.now)
    assert await ledger.cancel("t1") == ended
    assert await ledger.cancel("none") is None


async def test_the_backlog_counts_what_is_open(ledger: Ledger, clock: Clock) -> None:
    assert (await ledger.backlog()).waits_s == 0
    for task_id in ("t1", "t2", "t3"):
        await ledger.add(queued(task_id, clock))
    await ledger.add(replace(queued("t4", clock), due_at=clock.now + 100))
    assert await claim(ledger, "t1")
    await ledger.cancel("t2")
    clock.now += 7
    backlog = await ledger.backlog()
    assert (backlog.waiting, backlog.later, backlog.running) == (1, 1, 1)
    assert backlog.waits_s == pytest.approx(7)


async def test_a_queue_works_on_postgresql(postgres_url: URL) -> None:
    work = Work()
    work.plan("a", OSError(), None)
    async with opened_queue(postgres_url.render_as_string(hide_password=False), [work.task]) as queue:
        added = await asyncio.gather(
            *(queue.add("work", {"item": "a"}, key="k", owner=ADA) for _ in range(10))
        )
        assert len({record.id for record in added}) == 1
        done = await queue.wait(added[0].id, PATIENCE_S)
    assert (done.status, done.attempts, done.owner) == (TaskStatus.DONE, 2, ADA)


async def test_old_entries_are_forgotten_and_open_ones_never(ledger: Ledger, clock: Clock) -> None:
    for task_id in ("t1", "t2"):
        await ledger.add(queued(task_id, clock))
    await ledger.cancel("t1")
    clock.now += 100
    assert await ledger.prune(clock.now) == 1
    assert [record.id for record in await ledger.newest(limit=10)] == ["t2"]
