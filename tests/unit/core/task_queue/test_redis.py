"""The queue over Redis: it wakes other processes, and nothing depends on it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from core.health import HealthState
from core.task_queue import TaskQueue, TaskSettings, TaskStatus, run_worker
from core.task_queue.announcer import Announcer
from tests.kit.patience import A_BUSY_MACHINE_S
from tests.kit.task_queues import ADA, PATIENCE_S, Work, eventually, opened_queue, quick
from waystation.testing.redis import RedisServer


def patient(redis: RedisServer) -> TaskSettings:
    """Settings under which only the announcement can be quick."""
    return TaskSettings(url=redis.url, poll_s=60)


async def hears(queue: TaskQueue) -> None:
    """Returns when the queue has announced something and heard it again."""
    record = await queue.add("work", {"item": "first"}, owner=ADA)
    await queue.wait(record.id, PATIENCE_S)


async def test_an_announcement_wakes_a_worker_elsewhere(tmp_path: Path, redis_server: RedisServer) -> None:
    work = Work()
    async with (
        opened_queue(tmp_path, [work.task], settings=patient(redis_server)),
        opened_queue(tmp_path, [work.task], settings=patient(redis_server), worker=False) as adding,
    ):
        await hears(adding)
        now, later = [
            await adding.add("work", {"item": item}, owner=ADA, delay_s=delay)
            for item, delay in (("now", 0.0), ("later", 0.5))
        ]
        for record in (now, later):
            assert (await adding.wait(record.id, PATIENCE_S)).status is TaskStatus.DONE
    assert work.order == ["first", "now", "later"]


async def test_no_worker_reads_a_subscription_which_would_spin_when_its_host_vanishes(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    work = Work()
    async with opened_queue(tmp_path, [work.task], settings=patient(redis_server)) as queue:
        await hears(queue)
        async with Redis.from_url(redis_server.url) as redis:
            assert await redis.pubsub_numpat() == 0


async def test_what_is_announced_just_before_the_end_is_heard(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    work = Work()
    async with opened_queue(tmp_path, [work.task], settings=patient(redis_server)) as worker:
        async with opened_queue(
            tmp_path, [work.task], settings=patient(redis_server), worker=False
        ) as adding:
            await hears(adding)
            record = await adding.add("work", {"item": "last"}, owner=ADA)
        assert (await worker.wait(record.id, PATIENCE_S)).status is TaskStatus.DONE


async def test_a_worker_ends_with_a_signal_and_gives_its_task_back(tmp_path: Path) -> None:
    work = Work()
    work.hold("a")

    @asynccontextmanager
    async def opened() -> AsyncIterator[TaskQueue]:
        async with opened_queue(tmp_path, [work.task], settings=quick(grace_s=0)) as queue:
            yield queue

    running = asyncio.create_task(run_worker(opened))
    async with opened_queue(tmp_path, [work.task], worker=False) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        await work.begun("a")
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, PATIENCE_S)
        assert (await queue.get(record.id)).status is TaskStatus.QUEUED


async def test_an_announcer_that_does_not_open_keeps_quiet_and_ends_when_asked(
    redis_server: RedisServer,
) -> None:
    redis_server.kill()
    announcer = Announcer(TaskSettings(url=redis_server.url), None)
    await announcer.close(limit_s=1)
    announcer.open()
    for number in range(2000):
        announcer.announce(str(number), 0, time.time())

    async def silent() -> bool:
        return announcer.silent_s is not None

    await eventually(silent)
    assert not announcer.carries
    announcer.stop()
    await announcer.close(limit_s=PATIENCE_S)


@pytest.mark.parametrize("url", ["http://x", "redis:/x", ""])
def test_only_addresses_of_a_queue_are_accepted(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        TaskSettings(url=url)
    assert TaskSettings(url="mem://").in_process


async def test_a_redis_that_dies_and_comes_back_empty_loses_nothing(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    work = Work()
    settings = TaskSettings(url=redis_server.url, poll_s=0.5)

    async def is_silent() -> bool:
        return (await queue.check()).state is HealthState.DEGRADED

    async def answers() -> bool:
        return (await queue.check()).state is HealthState.HEALTHY

    async def does(item: str) -> None:
        record = await queue.add("work", {"item": item}, owner=ADA)
        assert (await queue.wait(record.id, PATIENCE_S)).status is TaskStatus.DONE

    async with opened_queue(tmp_path, [work.task], settings=settings) as queue:
        await does("before")
        work.hold("through")
        through = await queue.add("work", {"item": "through"}, owner=ADA)
        later = await queue.add("work", {"item": "later"}, owner=ADA, delay_s=3)
        await work.begun("through")
        redis_server.kill()
        await eventually(is_silent)
        assert "none is lost" in (await queue.check()).reason
        await does("while it is away")
        redis_server.start()
        await eventually(answers)
        await does("after")
        work.let_go("through")
        for record in (through, later):
            assert (await queue.wait(record.id, PATIENCE_S)).status is TaskStatus.DONE
    assert set(work.attempts.values()) == {1}


async def test_without_a_redis_the_queue_opens_and_closes_all_the_same(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    redis_server.kill()
    work = Work()
    async with opened_queue(tmp_path, [work.task], settings=TaskSettings(url=redis_server.url)) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        assert (await queue.wait(record.id, PATIENCE_S)).status is TaskStatus.DONE


async def test_a_redis_that_hangs_holds_up_neither_adding_nor_running_nor_closing(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    work = Work()
    queue: TaskQueue
    async with opened_queue(tmp_path, [work.task], settings=TaskSettings(url=redis_server.url)) as queue:
        first = await queue.add("work", {"item": "a"}, owner=ADA)
        await queue.wait(first.id, PATIENCE_S)
        redis_server.freeze()
        began = time.monotonic()
        second = await queue.add("work", {"item": "b"}, owner=ADA)
        assert time.monotonic() - began < A_BUSY_MACHINE_S
        assert (await queue.wait(second.id, PATIENCE_S)).status is TaskStatus.DONE
        began = time.monotonic()
    assert time.monotonic() - began < PATIENCE_S
