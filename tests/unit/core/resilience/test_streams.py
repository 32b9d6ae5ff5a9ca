from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any, cast

import pytest

from core.errors import WaystationError
from core.resilience import Policy, PolicyTimeout, TooBusy
from tests.unit.core.resilience.dependency import (
    OPEN_S,
    Dependency,
    Down,
    Refusing,
    Service,
    fail,
    until_probed,
)

ROLE = ""  # an item that a reader cannot see


@pytest.fixture
def service() -> Service:
    return Service(attempts=3, open_s=OPEN_S)


@pytest.fixture
def dependency() -> Dependency:
    return Dependency()


async def read(policy: Policy, dependency: Dependency, *runs: Sequence[Any]) -> tuple[list[Any], str]:
    """What comes of streams that give `runs`, one each time it is opened, and the error at its end."""
    scripts = iter(runs)
    seen: list[Any] = []
    try:
        async for item in policy.stream(lambda: dependency.stream(next(scripts)), content=bool):
            seen.append(item)  # noqa: PERF401 - what came before an error matters
    except (WaystationError, ValueError) as error:
        return seen, type(error).__name__
    return seen, ""


def counted(service: Service) -> tuple[int, int]:
    status = service.policies.status()[0]
    return status.failures, status.calls


async def test_begin_and_end_of_a_stream_are_two_outcomes(service: Service, dependency: Dependency) -> None:
    assert await read(service.policy(), dependency, [ROLE, "a", ROLE, "b"]) == ([ROLE, "a", ROLE, "b"], "")
    assert counted(service) == (0, 2)


async def test_a_stream_is_opened_again_until_its_first_content(
    service: Service, dependency: Dependency
) -> None:
    seen = await read(service.policy(), dependency, [Down()], [ROLE, Down()], [ROLE, "a"])
    assert seen == ([ROLE, "a"], "")
    assert counted(service) == (2, 4)


async def test_a_stream_that_has_begun_is_not_opened_again(service: Service, dependency: Dependency) -> None:
    assert await read(service.policy(), dependency, ["a", Down()], ["b"]) == (["a"], "Down")
    assert dependency.calls == 1
    assert counted(service) == (1, 2)


async def test_a_provider_that_always_dies_in_mid_stream_opens_the_breaker(
    service: Service, dependency: Dependency
) -> None:
    for _ in range(5):
        assert service.policies.status() == [] or service.state() == "closed"
        assert await read(service.policy(), dependency, ["a", Down()]) == (["a"], "Down")
    assert service.state() == "open"
    assert counted(service) == (5, 10)
    assert await read(service.policy(), dependency, ["a"]) == ([], "BreakerOpen")


async def test_the_first_content_of_a_probe_closes_the_breaker(
    service: Service, dependency: Dependency
) -> None:
    policy = service.policy()
    await fail(policy, 5)
    await asyncio.sleep(OPEN_S)
    async with aclosing(cast(Any, policy.stream(lambda: dependency.stream("ab"), content=bool))) as items:
        assert await anext(items) == "a"
        assert service.state() == "closed"


async def test_a_stream_without_content_is_one_outcome(service: Service, dependency: Dependency) -> None:
    assert await read(service.policy(), dependency, [ROLE]) == ([ROLE], "")
    assert counted(service) == (0, 1)


async def test_a_reader_who_leaves_is_no_outcome_and_frees_his_place(dependency: Dependency) -> None:
    service = Service(at_once=1, queue=0)
    policy = service.policy()
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                yield "a"
        finally:
            closed.set()

    async with aclosing(cast(Any, policy.stream(endless, content=bool))) as items:
        assert [await anext(items) for _ in range(3)] == ["a"] * 3
    assert closed.is_set()
    assert counted(service) == (0, 1)
    assert await policy.call(dependency) == 1


async def test_a_stream_that_never_begins_costs_the_timeout_and_is_closed(service: Service) -> None:
    closed = asyncio.Event()

    async def silent() -> AsyncIterator[str]:
        try:
            yield ROLE
            await asyncio.Event().wait()
        finally:
            closed.set()

    with pytest.raises(PolicyTimeout):
        await anext(service.policy().stream(silent, content=bool, timeout_s=0.05))
    assert closed.is_set()
    assert counted(service) == (1, 1)


async def test_an_answer_that_refuses_in_mid_stream_is_no_failure(
    service: Service, dependency: Dependency
) -> None:
    assert await read(service.policy(), dependency, ["a", Refusing()]) == (["a"], "Refusing")
    assert await read(service.policy(), dependency, ["a", ValueError("a bug")]) == (["a"], "ValueError")
    assert counted(service) == (0, 3)


async def test_the_end_of_a_stream_from_before_it_opened_is_no_news(
    service: Service, dependency: Dependency
) -> None:
    policy = service.policy()
    script = ["a", Down()]
    async with aclosing(cast(Any, policy.stream(lambda: dependency.stream(script), content=bool))) as items:
        assert await anext(items) == "a"
        await fail(policy, 5)
        await until_probed(policy, Dependency())
        with pytest.raises(Down):
            await anext(items)
    assert (service.state(), counted(service)) == ("closed", (0, 0))


async def test_an_iterator_that_cannot_be_closed_is_read_as_well(service: Service) -> None:
    class Plain:
        def __init__(self) -> None:
            self.left = ["b", "a"]

        def __aiter__(self) -> Plain:
            return self

        async def __anext__(self) -> str:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    assert [item async for item in service.policy().stream(Plain, content=bool)] == ["a", "b"]


async def test_the_end_of_an_older_stream_is_no_probe(dependency: Dependency) -> None:
    service = Service(open_s=OPEN_S)
    policy = service.policy()
    reached, go, over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def older() -> AsyncIterator[str]:
        reached.set()
        await go.wait()
        yield "first"

    async def read() -> list[str]:
        found = [item async for item in policy.stream(older, content=bool)]
        over.set()
        return found

    reading = asyncio.create_task(read())
    await reached.wait()
    await fail(policy, 5)
    await asyncio.sleep(OPEN_S)
    dependency.hold = True
    probe = asyncio.create_task(policy.call(dependency))
    await dependency.reached.wait()
    go.set()
    await over.wait()
    assert (await reading, service.state()) == (["first"], "half_open")
    dependency.go.set()
    await probe
    assert service.state() == "closed"


async def test_streams_that_are_open_keep_nobody_from_opening_another() -> None:
    policy = Service(at_once=1, queue=0).policy()

    async def endless() -> AsyncIterator[str]:
        while True:
            yield "a"

    async with AsyncExitStack() as stack:
        for _ in range(3):
            items: Any = await stack.enter_async_context(
                aclosing(cast(Any, policy.stream(endless, content=bool)))
            )
            assert await anext(items) == "a"


async def test_a_stream_gives_its_place_on_when_its_first_item_comes_with_content_or_without() -> None:
    policy = Service(at_once=1).policy()
    go = asyncio.Event()

    async def slow_to_speak() -> AsyncIterator[str]:
        yield ROLE
        await go.wait()
        yield "a"

    first, second = (
        asyncio.ensure_future(anext(policy.stream(slow_to_speak, content=bool))) for _ in range(2)
    )
    assert await policy.call(Dependency(), timeout_s=5) == 1
    go.set()
    assert [await first, await second] == [ROLE, ROLE]


async def test_a_stream_that_does_not_open_holds_its_place() -> None:
    policy = Service(at_once=1, queue=0).policy()
    go, asked = asyncio.Event(), asyncio.Event()

    async def slow_to_open() -> AsyncIterator[str]:
        asked.set()
        await go.wait()
        yield "a"

    opening = asyncio.ensure_future(anext(policy.stream(slow_to_open, content=bool)))
    await asked.wait()
    with pytest.raises(TooBusy):
        await anext(policy.stream(slow_to_open, content=bool))
    go.set()
    assert await opening == "a"


async def test_a_stream_that_is_opened_again_waits_for_a_place_again() -> None:
    policy = Service(at_once=1, queue=1, attempts=2).policy()
    opened: list[str] = []
    busy, go = asyncio.Event(), asyncio.Event()

    async def fails_once_open() -> AsyncIterator[str]:
        opened.append("stream")
        yield ROLE
        if len(opened) == 1:
            await busy.wait()
            raise Down
        yield "a"

    async def call() -> None:
        busy.set()
        await go.wait()
        opened.append("call")

    reading = asyncio.ensure_future(anext(policy.stream(fails_once_open, content=bool)))
    calling = asyncio.ensure_future(policy.call(call))
    await busy.wait()
    go.set()
    await asyncio.gather(reading, calling)
    assert opened == ["stream", "call", "stream"]
