"""Redis killed and restarted under a service that keeps its cache and its queue there."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from core.cache import Cache
from core.health import HealthState
from core.task_queue import TaskQueue
from graph import Agent
from waystation.testing.agents import context_at
from waystation.testing.redis import RedisServer

RECOVERY_S = 30.0


async def state_of(agent: Agent, part: str) -> HealthState:
    return (await agent.health.report())[part].state


async def until(agent: Agent, wanted: HealthState) -> None:
    """Wait until the cache and the queue say so, for as long as a recovery may take."""
    async with asyncio.timeout(RECOVERY_S):
        while {await state_of(agent, part) for part in ("cache", "tasks")} != {wanted}:  # noqa: ASYNC110 - the board caches
            await asyncio.sleep(0.2)


@pytest.mark.always
async def test_turns_go_on_without_redis_and_everything_recovers_by_itself(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    url = redis_server.url
    context = context_at(
        tmp_path, cache={"url": url}, tasks={"url": url, "poll_s": 0.5}, mcp={"bundled": False}
    )
    async with Agent.open(context, worker=True) as agent:
        cache, queue = await agent.container.get(Cache), await agent.container.get(TaskQueue)
        before = await cache.get("models", ["k"], lambda: _value(1), who=None, as_type=int)
        redis_server.kill()
        began = time.monotonic()
        reply = await agent.ask("What is a berth?", thread="t1")
        assert reply["status"] == "done"
        assert await cache.get("models", ["k"], lambda: _value(2), who=None, as_type=int) == 2
        added = await queue.add("forget_tasks", {}, owner=queue.system)
        assert (await queue.wait(added.id, RECOVERY_S)).status == "done"
        assert time.monotonic() - began < RECOVERY_S
        await until(agent, HealthState.DEGRADED)
        report = await agent.health.report()
        assert report["cache"].since is not None
        assert await agent.health.ready()
        redis_server.start()
        await until(agent, HealthState.HEALTHY)
        later = await queue.add("forget_tasks", {}, owner=queue.system)
        assert (await queue.wait(later.id, RECOVERY_S)).status == "done"
    assert before == 1


async def _value(number: int) -> int:
    return number
