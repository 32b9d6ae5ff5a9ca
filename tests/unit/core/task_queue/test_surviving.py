"""Processes that stop or die, and what becomes of their tasks."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from dishka import make_async_container
from sqlalchemy import text, update
from sqlalchemy.engine import make_url

from core.health import HealthState
from core.holder import alive, is_known_dead, new_holder
from core.task_queue import Task, TaskContext, TaskQueue, TaskStatus
from core.task_queue.ledger import Ledger
from core.task_queue.tables import tasks
from graph.db.database import opened_database
from tests.kit.task_queues import ADA, PATIENCE_S, Work, opened_queue, quick, sqlite
from tests.kit.task_worker import Item

pytestmark = pytest.mark.slow

# Waited for, but not over before a busy machine has opened a queue.
LEASE_S = 4.0
LONG_LEASE = quick(lease_s=300)


async def dead_holder() -> str:
    """The name of a process of this machine that has ended."""
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    with alive(new_holder()) as me:
        return f"{me.split(':')[0]}:{process.pid}:x"


async def test_a_task_that_a_shutdown_cuts_short_runs_again_at_the_next_start(tmp_path: Path) -> None:
    work = Work()
    work.hold("a")
    async with opened_queue(tmp_path, [work.task]) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        await work.begun("a")
    async with opened_queue(tmp_path, [work.task], worker=False) as queue:
        between = await queue.get(record.id)
        assert (between.status, between.attempts) == (TaskStatus.QUEUED, 0)
    async with opened_queue(tmp_path, [work.task]) as queue:
        await work.begun("a")
        work.let_go("a")
        done = await queue.wait(record.id, PATIENCE_S)
    assert (done.status, done.attempts, done.owner) == (TaskStatus.DONE, 1, ADA)
    assert work.attempts["a"] == 2


async def test_a_running_task_may_end_within_the_grace_of_a_shutdown(tmp_path: Path) -> None:
    work = Work()
    work.hold("a")
    async with opened_queue(tmp_path, [work.task], settings=quick(grace_s=PATIENCE_S)) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        await work.begun("a")
        asyncio.get_running_loop().call_later(0.2, work.let_go, "a")
    async with opened_queue(tmp_path, [work.task], worker=False) as queue:
        assert (await queue.get(record.id)).status is TaskStatus.DONE
    assert work.attempts["a"] == 1


async def test_a_task_that_was_to_be_cancelled_is_not_begun_again_after_a_shutdown(tmp_path: Path) -> None:
    work = Work()
    work.hold("a")
    async with opened_queue(tmp_path, [work.task], settings=LONG_LEASE) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        await work.begun("a")
        async with opened_queue(tmp_path, [work.task], worker=False) as other:
            await other.cancel(record.id)
    async with opened_queue(tmp_path, [work.task], worker=False) as queue:
        assert (await queue.get(record.id)).status is TaskStatus.CANCELLED


async def test_what_a_dead_process_left_running_is_begun_again_at_once(tmp_path: Path) -> None:
    work = Work()
    async with opened_queue(tmp_path, [work.task], worker=False) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
    async with opened_database(make_url(sqlite(tmp_path))) as engine:
        ledger = Ledger(engine)
        assert await ledger.claim(record.id, await dead_holder(), lease_s=300, names=["work"])
    async with opened_queue(tmp_path, [work.task], settings=LONG_LEASE) as queue:
        done = await queue.wait(record.id, PATIENCE_S)
    assert (done.status, done.attempts, work.attempts["a"]) == (TaskStatus.DONE, 2, 1)


async def test_of_a_holder_elsewhere_the_lease_tells(tmp_path: Path) -> None:
    work = Work()
    async with opened_queue(tmp_path, [work.task], worker=False) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
    async with opened_database(make_url(sqlite(tmp_path))) as engine:
        assert await Ledger(engine).claim(record.id, "elsewhere:1:x", lease_s=LEASE_S, names=["work"])
    async with opened_queue(tmp_path, [work.task]) as queue:
        await asyncio.sleep(0)
        assert (await queue.get(record.id)).status is TaskStatus.RUNNING
        done = await queue.wait(record.id, PATIENCE_S)
    assert (done.status, done.attempts) == (TaskStatus.DONE, 2)
    assert (done.started_at or 0) - record.created_at >= LEASE_S


async def test_a_task_that_takes_its_worker_down_each_time_has_failed_in_the_end(tmp_path: Path) -> None:
    work = Work(attempts=1)
    async with opened_queue(tmp_path, [work.task], worker=False) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
    async with opened_database(make_url(sqlite(tmp_path))) as engine:
        assert await Ledger(engine).claim(record.id, await dead_holder(), lease_s=300, names=["work"])
    async with opened_queue(tmp_path, [work.task]) as queue:
        ended = await queue.wait(record.id, PATIENCE_S)
    assert ended.status is TaskStatus.FAILED
    assert ended.error == "worker_lost: the process that ran it ended"
    assert work.attempts["a"] == 0


async def test_a_worker_leaves_alone_what_it_does_not_know(tmp_path: Path) -> None:
    old, new = Work("old"), Work("new")
    async with opened_queue(tmp_path, [old.task, new.task], worker=False) as queue:
        unknown = await queue.add("new", {"item": "a"}, owner=ADA)
        abandoned = await queue.add("new", {"item": "b"}, owner=ADA)
        known = await queue.add("old", {"item": "c"}, owner=ADA)
    async with opened_database(make_url(sqlite(tmp_path))) as engine:
        assert await Ledger(engine).claim(abandoned.id, await dead_holder(), lease_s=300, names=["new"])
    async with opened_queue(tmp_path, [old.task]) as queue:
        await queue.wait(known.id, PATIENCE_S)
        assert (await queue.get(unknown.id)).status is TaskStatus.QUEUED
        assert (await queue.get(abandoned.id)).status is TaskStatus.RUNNING


async def test_two_workers_on_one_ledger_share_the_tasks_and_run_none_twice(tmp_path: Path) -> None:
    work = Work()
    async with opened_queue(tmp_path, [work.task]) as one, opened_queue(tmp_path, [work.task]):
        added = [await one.add("work", {"item": str(n)}, owner=ADA) for n in range(40)]
        for record in added:
            assert (await one.wait(record.id, PATIENCE_S)).attempts == 1
    assert set(work.attempts.values()) == {1}


async def test_a_worker_that_has_lost_its_claim_stops_and_writes_nothing(tmp_path: Path) -> None:
    work = Work()
    work.hold("a")
    async with opened_queue(tmp_path, [work.task]) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        await work.begun("a")
        async with opened_database(make_url(sqlite(tmp_path))) as engine, engine.begin() as db:
            await db.execute(update(tasks).values(holder="elsewhere:1:x", lease_until=9e9))
        async with asyncio.timeout(PATIENCE_S):
            while work.running["a"]:  # noqa: ASYNC110 - a counter has no event
                await asyncio.sleep(0.02)
        now = await queue.get(record.id)
    assert (now.status, now.attempts) == (TaskStatus.RUNNING, 1)


async def test_a_worker_that_cannot_prolong_its_claim_stops_before_another_may_begin(tmp_path: Path) -> None:
    work = Work()
    work.hold("a")
    async with opened_queue(tmp_path, [work.task], settings=quick(lease_s=LEASE_S)) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        await work.begun("a")
        clock = asyncio.get_running_loop().time
        begun = clock()
        async with opened_database(make_url(sqlite(tmp_path))) as engine, engine.connect() as db:
            await db.execute(text("BEGIN IMMEDIATE"))
            async with asyncio.timeout(PATIENCE_S):
                while work.running["a"]:  # noqa: ASYNC110 - a counter has no event
                    await asyncio.sleep(0.02)
            assert clock() - begun < PATIENCE_S / 2
        work.let_go("a")
        done = await queue.wait(record.id, PATIENCE_S)
    assert (done.status, done.attempts, work.most_at_once["a"]) == (TaskStatus.DONE, 2, 1)


async def test_a_task_that_does_not_stop_does_not_hold_up_a_shutdown_for_ever(tmp_path: Path) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def stubborn(_: Item, __: TaskContext) -> None:
        begun.set()
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                asyncio.get_running_loop().call_later(0.1, go.set)

    async with opened_queue(tmp_path, [Task("work", Item, stubborn)], settings=quick(grace_s=0)) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        await begun.wait()
    async with opened_queue(tmp_path, [Task("work", Item, stubborn)], worker=False) as queue:
        assert (await queue.get(record.id)).status is TaskStatus.DONE


async def test_health_says_when_tasks_wait_too_long(tmp_path: Path) -> None:
    work = Work()
    async with opened_database(make_url(sqlite(tmp_path))) as engine:
        opened = TaskQueue.open(quick(), engine, [work.task], make_async_container(), worker=False)
        async with opened as queue:
            await queue.add("work", {"item": "a"}, owner=ADA)
            async with engine.begin() as db:
                await db.execute(update(tasks).values(due_at=tasks.c.due_at - 100))
            health = await queue.check()
    assert health.state is HealthState.DEGRADED
    assert health.reason.startswith("the oldest task has waited 100 s")


async def test_a_process_of_this_machine_is_known_to_live_or_to_be_dead() -> None:
    with alive(new_holder()) as me:
        assert not is_known_dead(me)
        place = me.split(":")[0]
        assert not is_known_dead(f"{place}:{os.getppid()}:x")
        assert not is_known_dead("elsewhere:1:x")
        assert not is_known_dead("unreadable")
        assert is_known_dead(await dead_holder())
    assert is_known_dead(me)


async def test_what_a_dead_process_left_is_found_also_by_a_worker_that_is_never_idle(tmp_path: Path) -> None:
    work = Work()
    async with opened_queue(tmp_path, [work.task], settings=LONG_LEASE) as queue:
        left = await queue.add("work", {"item": "left"}, owner=ADA, delay_s=300)
        async with opened_database(make_url(sqlite(tmp_path))) as engine, engine.begin() as db:
            running = {"status": "running", "holder": await dead_holder(), "lease_until": left.due_at + 300}
            await db.execute(update(tasks).where(tasks.c.id == left.id).values(due_at=0.0, **running))
        async with asyncio.timeout(PATIENCE_S):
            while (await queue.get(left.id)).status is not TaskStatus.DONE:
                busy = await queue.add("work", {"item": "busy"}, owner=ADA)
                await queue.wait(busy.id, PATIENCE_S)
