"""A Redis that several processes share, and that may go away at any time."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest
import redis

from core.cache import Cache
from core.health import HealthState
from tests.unit.core.cache.helpers import Counted, Loader, on_redis
from waystation.testing.redis import RedisServer

# What the contract promises, and what a busy machine adds to it.
BOUND_SECONDS = 0.5
SLACK_SECONDS = 5.0


async def ask(cache: Cache, load: Loader, key: str = "k") -> list[int]:
    return await cache.get("models", [key], load, who=None, as_type=list[int])


async def test_two_caches_on_one_redis_share(redis_server: RedisServer) -> None:
    load = Loader()
    settings = on_redis(redis_server.url)
    async with Cache(settings) as one, Cache(settings) as two:
        assert [await ask(one, load), await ask(two, load)] == [[1], [1]]
        assert await one.clear("models")
        assert [await ask(two, load), await ask(one, load)] == [[2], [2]]
    assert load.calls == 2


async def test_services_with_different_namespaces_do_not_share(redis_server: RedisServer) -> None:
    load = Loader()
    async with (
        Cache(on_redis(redis_server.url, namespace="one")) as one,
        Cache(on_redis(redis_server.url, namespace="two")) as two,
    ):
        assert [await ask(one, load), await ask(two, load)] == [[1], [2]]
        await one.clear()
        assert await ask(two, load) == [2]


async def test_keys_and_entries_in_redis_tell_no_names_and_end_by_themselves(
    redis_server: RedisServer,
) -> None:
    async with Cache(on_redis(redis_server.url)) as cache:
        await ask(cache, Loader(), "a question of somebody")
    with redis.Redis.from_url(redis_server.url) as client:
        (key,) = client.keys()
        assert key.startswith(b"waystation:cache:models:")
        assert b"somebody" not in key
        assert 0 < client.pttl(key) <= 300_000


@pytest.mark.parametrize("secret", ["", "pepper"])
@pytest.mark.parametrize(
    "planted",
    [b"bytes:rubbish", b"\x80\x04\x95.", b"42", b"bytes:9999999999\n\n[]x", b"StreamingResponse:200:"],
)
async def test_what_others_wrote_into_redis_is_a_miss(
    redis_server: RedisServer, planted: bytes, secret: str
) -> None:
    load = Loader()
    async with Cache(on_redis(redis_server.url, secret=secret)) as cache:
        await ask(cache, load)
        with redis.Redis.from_url(redis_server.url) as client:
            (key,) = client.keys()
            client.set(key, planted)
        assert await ask(cache, load) == [2]
        assert await ask(cache, load) == [2]


async def test_with_a_secret_only_entries_signed_with_it_are_believed(redis_server: RedisServer) -> None:
    load = Loader()
    async with (
        Cache(on_redis(redis_server.url)) as unsigned,
        Cache(on_redis(redis_server.url, secret="pepper")) as signed,
    ):
        await ask(unsigned, load)
        assert await ask(signed, load) == [2]
        assert await ask(signed, load) == [2]
        with redis.Redis.from_url(redis_server.url) as client:
            (key,) = client.keys()
            entry = client.get(key)
            assert isinstance(entry, bytes)
            client.set(key, entry.replace(b"[2]", b"[7]"))
        assert await ask(signed, load) == [3]


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_redis_that_goes_away_costs_a_bounded_delay_and_is_used_again_when_it_is_back(
    redis_server: RedisServer, how: str
) -> None:
    load, counted = Loader(), Counted("models")
    async with Cache(on_redis(redis_server.url, timeout_s=0.2, retry_s=0.3)) as cache:
        await ask(cache, load)
        getattr(redis_server, how)()
        for n in range(2, 5):
            started = time.monotonic()
            assert await ask(cache, load) == [n], "a miss each time"
            assert time.monotonic() - started < BOUND_SECONDS + SLACK_SECONDS
        health = await cache.check()
        assert health.state is HealthState.DEGRADED
        assert "Redis does not answer" in health.reason
        assert health.since is not None
        assert 0 <= (datetime.now(UTC) - health.since).total_seconds() < 60
        assert counted.results()["error"] == 3

        if how == "kill":
            redis_server.start()
        else:
            redis_server.thaw()
        async with asyncio.timeout(20):
            while (await cache.check()).state is not HealthState.HEALTHY:
                pass
        now = await ask(cache, load, "new")
        assert await ask(cache, load, "new") == now, "it is kept again"


async def test_recovery_needs_nobody_to_ask_for_health(redis_server: RedisServer) -> None:
    load, counted = Loader(), Counted("models")
    async with Cache(on_redis(redis_server.url, retry_s=0.05)) as cache:
        redis_server.kill()
        await ask(cache, load)
        redis_server.start()
        async with asyncio.timeout(20):
            while not counted.results().get("hit"):
                await ask(cache, load)


async def test_a_redis_that_is_down_is_left_alone_for_a_while(redis_server: RedisServer) -> None:
    load = Loader()
    async with Cache(on_redis(redis_server.url, retry_s=60, timeout_s=0.5)) as cache:
        await ask(cache, load)
        redis_server.freeze()
        await ask(cache, load)
        started = time.monotonic()
        for n in range(40):
            await ask(cache, load, f"k{n}")
        assert time.monotonic() - started < 40 * 0.5 / 2, "none of them waited for Redis"
        redis_server.thaw()


async def test_a_redis_that_restarts_between_two_questions_is_not_noticed(redis_server: RedisServer) -> None:
    load, counted = Loader(), Counted("models")
    async with Cache(on_redis(redis_server.url)) as cache:
        await asyncio.gather(*(ask(cache, load, f"k{n}") for n in range(10)))
        redis_server.restart()
        await asyncio.gather(*(ask(cache, load, f"k{n}") for n in range(10)))
    assert counted.results() == {"miss": 20}


async def test_clearing_says_so_when_redis_does_not_answer() -> None:
    server = RedisServer()
    async with Cache(on_redis(server.url)) as cache:
        assert not await cache.clear()
