"""What is found, what is loaded, and who shares with whom; over both stores where it may differ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from core.access import Principal
from core.cache import Cache, CacheSettings
from core.cache.settings import KindSettings
from core.correlation import listening
from core.health import HealthState
from tests.unit.core.cache.helpers import Counted, Loader, on_redis

ADA = Principal("ada", frozenset({"staff"}), frozenset({"internal"}))
NUMBERS = TypeAdapter(list[int])


@pytest.fixture(params=["memory", "redis"])
def settings(request: pytest.FixtureRequest) -> CacheSettings:
    if request.param == "memory":
        return CacheSettings()
    return on_redis(request.getfixturevalue("redis_server").url)


@pytest.fixture
async def cache(settings: CacheSettings) -> AsyncIterator[Cache]:
    async with Cache(settings) as cache:
        yield cache


@pytest.fixture
async def memory() -> AsyncIterator[Cache]:
    async with Cache(CacheSettings()) as cache:
        yield cache


async def test_the_second_question_is_answered_without_a_load(cache: Cache) -> None:
    load, counted = Loader(), Counted("retrieval")
    answers = [await cache.get("retrieval", ["q"], load, who=ADA, as_type=list[int]) for _ in range(3)]
    assert answers == [[1], [1], [1]]
    assert (load.calls, counted.results()) == (1, {"miss": 1, "hit": 2})


async def test_every_reader_gets_a_value_of_its_own(cache: Cache) -> None:
    load = Loader()
    load.gate.clear()
    asking = [
        asyncio.ensure_future(cache.get("models", ["m"], load, who=None, as_type=NUMBERS)) for _ in range(5)
    ]
    await load.started.wait()
    load.gate.set()
    values = await asyncio.gather(*asking)
    values.append(await cache.get("models", ["m"], load, who=None, as_type=NUMBERS))
    for value in values:
        value.append(99)
    assert await cache.get("models", ["m"], load, who=None, as_type=NUMBERS) == [1]
    assert len({id(value) for value in values}) == 6


async def test_a_hundred_that_miss_at_once_share_one_load(cache: Cache) -> None:
    load, counted = Loader(), Counted("tools")
    values = await asyncio.gather(
        *(cache.get("tools", ["t"], load, who=ADA, as_type=list[int]) for _ in range(100))
    )
    assert (load.calls, values) == (1, [[1]] * 100)
    assert counted.results() == {"miss": 1, "shared": 99}


@pytest.mark.parametrize("leaves", [0, 1, 2])
async def test_a_waiter_that_is_cancelled_takes_nothing_from_the_others(memory: Cache, leaves: int) -> None:
    load = Loader()
    load.gate.clear()
    asking = [
        asyncio.ensure_future(memory.get("tools", ["t"], load, who=ADA, as_type=list[int])) for _ in range(3)
    ]
    await load.started.wait()
    asking.pop(leaves).cancel()
    load.gate.set()
    assert await asyncio.gather(*asking) == [[1], [1]]
    assert load.calls == 1


async def test_a_load_that_nobody_waits_for_any_more_is_cancelled(memory: Cache) -> None:
    load = Loader()
    load.gate.clear()
    asking = asyncio.ensure_future(memory.get("tools", ["t"], load, who=ADA, as_type=list[int]))
    await load.started.wait()
    asking.cancel()
    async with asyncio.timeout(10):
        await load.cancelled.wait()
    load.gate.set()
    assert await memory.get("tools", ["t"], load, who=ADA, as_type=list[int]) == [2]


async def test_a_load_that_fails_fails_for_all_and_is_not_kept(memory: Cache) -> None:
    load = Loader()
    load.fails = ValueError("no answer")
    asking = [memory.get("tools", ["t"], load, who=ADA, as_type=list[int]) for _ in range(10)]
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(result, ValueError) for result in results)
    load.fails = None
    assert await memory.get("tools", ["t"], load, who=ADA, as_type=list[int]) == [2]


OTHERS = {
    "another id": Principal("bob", ADA.groups, ADA.levels),
    "another group": Principal("ada", frozenset({"guests"}), ADA.levels),
    "one more group": Principal("ada", ADA.groups | {"guests"}, ADA.levels),
    "another level": Principal("ada", ADA.groups, frozenset({"public"})),
    "levels and groups exchanged": Principal("ada", ADA.levels, ADA.groups),
    "nobody": None,
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=list(OTHERS))
async def test_users_with_other_rights_never_share_an_entry(memory: Cache, other: Principal | None) -> None:
    load = Loader()
    load.gate.clear()
    both = [
        asyncio.ensure_future(memory.get("retrieval", ["q"], load, who=who, as_type=list[int]))
        for who in (ADA, other)
    ]
    await load.started.wait()
    load.gate.set()
    assert await asyncio.gather(*both) == [[1], [2]]
    assert await memory.get("retrieval", ["q"], load, who=ADA, as_type=list[int]) == [1]


async def test_other_keys_and_other_kinds_are_other_entries(memory: Cache) -> None:
    load = Loader()
    asked: list[tuple[Any, list[Any]]] = [
        ("models", ["a", "b"]),
        ("models", ["ab"]),
        ("models", [["a"], "b"]),
        ("tools", ["a", "b"]),
    ]
    found = [await memory.get(kind, key, load, who=None, as_type=list[int]) for kind, key in asked]
    assert found == [[1], [2], [3], [4]]
    assert await memory.get("models", [{"x": 1, "y": 2}], load, who=None, as_type=list[int]) == [5]
    assert await memory.get("models", [{"y": 2, "x": 1}], load, who=None, as_type=list[int]) == [5]


async def test_an_answer_ends_with_its_age(settings: CacheSettings) -> None:
    short = settings.model_copy(update={"retrieval": KindSettings(ttl_s=0.05)})
    load = Loader()
    async with Cache(short) as cache, asyncio.timeout(10):
        while load.calls < 2:
            await cache.get("retrieval", ["q"], load, who=ADA, as_type=list[int])


async def test_a_kind_that_is_switched_off_is_loaded_each_time() -> None:
    load, counted = Loader(), Counted("discovery")
    async with Cache(CacheSettings(discovery=KindSettings(enabled=False))) as cache:
        for _ in range(2):
            await cache.get("discovery", ["d"], load, who=ADA, as_type=list[int])
        await cache.get("retrieval", ["d"], load, who=ADA, as_type=list[int])
        await cache.get("retrieval", ["d"], load, who=ADA, as_type=list[int])
    assert (load.calls, counted.results()) == (3, {"bypass": 2})


async def test_an_answer_that_was_told_takes_the_place_of_the_kept_one(cache: Cache) -> None:
    load = Loader()
    await cache.get("tools", ["t"], load, who=None, as_type=list[int])
    await cache.put("tools", ["t"], [7], who=None, as_type=list[int])
    assert await cache.get("tools", ["t"], load, who=None, as_type=list[int]) == [7]
    assert load.calls == 1


async def test_a_kind_that_is_switched_off_keeps_nothing_that_it_was_told() -> None:
    load = Loader()
    async with Cache(CacheSettings.model_validate({"tools": {"enabled": False}})) as cache:
        await cache.put("tools", ["t"], [7], who=None, as_type=list[int])
        assert await cache.get("tools", ["t"], load, who=None, as_type=list[int]) == [1]


async def test_clearing_forgets_one_kind_or_all(cache: Cache) -> None:
    load = Loader()

    async def ask() -> list[list[int]]:
        return [
            await cache.get("tools", ["k"], load, who=ADA, as_type=list[int]),
            await cache.get("models", ["k"], load, who=ADA, as_type=list[int]),
        ]

    assert await ask() == [[1], [2]]
    assert await cache.clear("tools")
    assert await ask() == [[3], [2]]
    assert await cache.clear()
    assert await ask() == [[4], [5]]


async def test_a_load_that_began_before_a_clearing_stores_nothing_after_it(memory: Cache) -> None:
    load = Loader()
    load.gate.clear()
    old = asyncio.ensure_future(memory.get("tools", ["k"], load, who=ADA, as_type=list[int]))
    await load.started.wait()
    await memory.clear("tools")
    new = asyncio.ensure_future(memory.get("tools", ["k"], load, who=ADA, as_type=list[int]))
    load.gate.set()
    await asyncio.gather(old, new)
    assert load.calls == 2, "the later caller does not join a load from before"
    assert await memory.get("tools", ["k"], load, who=ADA, as_type=list[int]) == new.result()


async def test_too_large_answers_are_given_and_not_kept() -> None:
    calls = 0

    async def load() -> str:
        nonlocal calls
        calls += 1
        return "x" * 2000

    async with Cache(CacheSettings(entry_bytes=1024)) as cache:
        for _ in range(2):
            assert await cache.get("models", ["k"], load, who=None, as_type=str) == "x" * 2000
    assert calls == 2


@pytest.mark.parametrize("odd", ["half a pair \ud800", 5], ids=["surrogate", "another type"])
async def test_an_answer_that_is_no_json_of_its_type_is_given_and_not_kept(memory: Cache, odd: Any) -> None:
    calls = 0

    async def load() -> str:
        nonlocal calls
        calls += 1
        answer: str = odd
        return answer

    for _ in range(2):
        assert await memory.get("models", ["k"], load, who=None, as_type=str) == odd
    assert calls == 2


async def test_memory_holds_no_more_entries_than_the_setting_says() -> None:
    load = Loader()
    async with Cache(CacheSettings(entries=2)) as cache:
        for key in ("a", "b", "c", "c", "a"):
            await cache.get("models", [key], load, who=None, as_type=list[int])
    assert load.calls == 4


async def test_each_answer_says_in_a_notice_where_it_came_from(memory: Cache) -> None:
    load = Loader()
    heard: list[tuple[str, str]] = []
    with listening(lambda *said: heard.append(said)):
        for _ in range(2):
            await memory.get("retrieval", ["q"], load, who=ADA, as_type=list[int])
    assert heard == [("cache_status", "retrieval; miss"), ("cache_status", "retrieval; hit; ttl=60")]


async def test_closing_ends_the_loads_that_are_under_way() -> None:
    load = Loader()
    load.gate.clear()
    async with Cache(CacheSettings()) as cache:
        asking = asyncio.ensure_future(cache.get("tools", ["k"], load, who=ADA, as_type=list[int]))
        await load.started.wait()
    assert load.cancelled.is_set()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_memory_is_always_healthy(memory: Cache) -> None:
    assert (await memory.check()).state is HealthState.HEALTHY
