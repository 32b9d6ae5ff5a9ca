"""The event bus when a handler raises, blocks, hangs or is too slow."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from core.errors import Unavailable
from core.events import Event, EventBus, SubscriptionStatus, record
from core.events.bus import DROPS_SHOW_SECONDS
from core.health import HealthState
from tests.kit.patience import A_BUSY_MACHINE_S
from tests.unit.core.events.test_bus import deliveries

PROMPT_SECONDS = A_BUSY_MACHINE_S


@dataclass(frozen=True, slots=True)
class Ping(Event):
    number: int = 0


def status_of(bus: EventBus, name: str) -> SubscriptionStatus:
    return next(status for status in bus.status() if status.name == name)


async def until(holds: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Let others run until it holds."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - a status has no event to wait for
            await asyncio.sleep(0.002)


@asynccontextmanager
async def blocked(bus: EventBus, *, queue: int = 3) -> AsyncIterator[None]:
    """A sync handler that blocks its thread until the block ends."""
    entered, let_go = threading.Event(), threading.Event()

    def wait(event: Ping) -> None:
        entered.set()
        let_go.wait(60)

    bus.subscribe(Ping, wait, name="blocked", queue=queue, deadline_s=0)
    bus.publish(Ping())
    assert await asyncio.to_thread(entered.wait, 10)
    try:
        yield
    finally:
        let_go.set()


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_handler_that_raises_keeps_nobody_else_from_the_event(kind: str) -> None:
    def broken(event: Ping) -> None:
        raise ValueError("secret detail")

    async def broken_async(event: Ping) -> None:
        broken(event)

    async with EventBus() as bus:
        bus.subscribe(Ping, broken_async if kind == "async" else broken, name="broken")
        with record(bus, Ping) as seen:
            for number in range(5):
                bus.publish(Ping(number))
            await seen.wait_for(Ping, 5)
        await until(lambda: status_of(bus, "broken").failed == 5)
        health = await bus.check()
    assert health.state is HealthState.DEGRADED
    assert health.reason == "subscriber 'broken' fails: ValueError"
    assert deliveries("broken", "failed") >= 5


async def test_a_handler_that_works_again_is_healthy_again() -> None:
    wrong = [True, True, True, False]

    def handler(event: Ping) -> None:
        if wrong.pop(0):
            raise Unavailable("the other side is away")

    async with EventBus() as bus:
        bus.subscribe(Ping, handler, name="recovering")
        for number in range(3):
            bus.publish(Ping(number))
        await until(lambda: status_of(bus, "recovering").failed == 3)
        assert (await bus.check()).reason == "subscriber 'recovering' fails: the other side is away"
        bus.publish(Ping())
        await until(lambda: status_of(bus, "recovering").handled == 1)
        assert (await bus.check()).state is HealthState.HEALTHY


async def test_one_failure_among_successes_is_counted_and_no_alarm() -> None:
    def handler(event: Ping) -> None:
        if event.number == 1:
            raise ValueError

    async with EventBus() as bus:
        bus.subscribe(Ping, handler, name="mostly")
        for number in range(3):
            bus.publish(Ping(number))
    assert (status_of(bus, "mostly").handled, status_of(bus, "mostly").failed) == (2, 1)
    assert (await bus.check()).state is HealthState.HEALTHY


async def test_a_handler_that_exits_does_not_end_the_service() -> None:
    async def leave(event: Ping) -> None:
        sys.exit(3)

    async with EventBus() as bus:
        bus.subscribe(Ping, leave, name="leaver")
        bus.subscribe(Ping, lambda event: sys.exit(3), name="leaver-sync")
        bus.publish(Ping())
        bus.publish(Ping())
        await until(lambda: [s.failed for s in bus.status()] == [2, 2])


async def test_a_blocking_handler_delays_no_publisher_and_only_its_own_queue_fills() -> None:
    before = deliveries("blocked", "dropped")
    async with EventBus(drain_s=0.05) as bus, blocked(bus, queue=3):
        with record(bus, Ping) as seen:
            started = time.monotonic()
            for number in range(100):
                bus.publish(Ping(number))
            assert time.monotonic() - started < PROMPT_SECONDS
            await seen.wait_for(Ping, 100)
        status = status_of(bus, "blocked")
        assert (status.waiting, status.dropped) == (3, 97)
        assert deliveries("blocked", "dropped") == before + 97
        assert status.busy_s > 0


async def test_drops_show_in_the_health_for_some_minutes() -> None:
    async with EventBus() as bus:
        async with blocked(bus, queue=1):
            bus.publish(Ping())
            bus.publish(Ping())
        await until(lambda: status_of(bus, "blocked").handled == 2)
        health = await bus.check()
        status = status_of(bus, "blocked")
    assert health.reason == "subscriber 'blocked' is too slow; 1 events were dropped"
    assert status.dropped_ago_s is not None
    assert status.dropped_ago_s < DROPS_SHOW_SECONDS


async def test_a_handler_that_is_with_one_event_for_too_long_shows_in_the_health() -> None:
    async with EventBus(drain_s=0.05) as bus, blocked(bus):
        await until(lambda: status_of(bus, "blocked").stuck)
        assert (await bus.check()).reason.startswith("subscriber 'blocked' has been with one event for")


async def test_an_async_handler_that_waits_for_ever_fills_its_own_queue_alone() -> None:
    entered = asyncio.Event()

    async def wait(event: Ping) -> None:
        entered.set()
        await asyncio.Event().wait()

    async with EventBus(drain_s=0.05) as bus:
        bus.subscribe(Ping, wait, name="forever", queue=2)
        with record(bus, Ping) as seen:
            bus.publish(Ping())
            await entered.wait()
            for number in range(10):
                bus.publish(Ping(number))
            await seen.wait_for(Ping, 11)
        assert (status_of(bus, "forever").waiting, status_of(bus, "forever").dropped) == (2, 8)


async def test_an_async_handler_is_cancelled_at_its_deadline_and_goes_on_with_the_next() -> None:
    seen: list[int] = []

    async def handler(event: Ping) -> None:
        if event.number == 0:
            await asyncio.Event().wait()
        seen.append(event.number)

    async with EventBus() as bus:
        bus.subscribe(Ping, handler, name="dated", deadline_s=0.05)
        bus.publish(Ping(0))
        bus.publish(Ping(1))
    assert seen == [1]
    assert status_of(bus, "dated").reason == "took longer than 0.05 s"


async def test_a_timeout_of_the_handlers_own_is_an_ordinary_failure() -> None:
    async def handler(event: Ping) -> None:
        raise TimeoutError

    async with EventBus() as bus:
        bus.subscribe(Ping, handler, name="own-timeout")
        bus.publish(Ping())
    assert status_of(bus, "own-timeout").reason == "TimeoutError"


async def test_a_cancelled_helper_of_a_handler_does_not_end_the_handler() -> None:
    async def handler(event: Ping) -> None:
        if event.number == 0:
            helper = asyncio.ensure_future(asyncio.Event().wait())
            helper.cancel()
            await helper

    async with EventBus() as bus:
        bus.subscribe(Ping, handler, name="helped")
        bus.publish(Ping(0))
        bus.publish(Ping(1))
    status = status_of(bus, "helped")
    assert (status.failed, status.handled) == (1, 1)
    assert status.reason == "what it waited for was cancelled"


async def test_a_sync_handler_that_gives_a_coroutine_is_told_apart() -> None:
    async def work() -> None: ...

    async with EventBus() as bus:
        bus.subscribe(Ping, lambda event: work(), name="undeclared")
        bus.publish(Ping())
    assert status_of(bus, "undeclared").reason == "it gave a coroutine; declare it with async def"


async def test_closing_is_bounded_and_counts_what_was_left() -> None:
    stubborn_left = asyncio.Event()

    async def stubborn(event: Ping) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stubborn_left.set()

    started = time.monotonic()
    async with EventBus(drain_s=0.05) as bus:
        bus.subscribe(Ping, stubborn, name="stubborn")
        async with blocked(bus):
            for number in range(2):
                bus.publish(Ping(number))
            await bus.__aexit__(None, None, None)
            assert time.monotonic() - started < PROMPT_SECONDS
            assert stubborn_left.is_set()
            assert {s.name: s.dropped for s in bus.status()} == {"blocked": 2, "stubborn": 2}


async def test_a_handler_may_publish_and_subscribe() -> None:
    @dataclass(frozen=True, slots=True)
    class Pong(Event):
        number: int

    async with EventBus() as bus:
        with record(bus, Pong) as seen:
            bus.subscribe(Ping, lambda event: bus.publish(Pong(event.number)), name="answering")
            bus.publish(Ping(7))
            assert [event.number for event in await seen.wait_for(Pong)] == [7]


def test_publishing_after_the_loop_is_gone_is_safe() -> None:
    async def handler(event: Ping) -> None: ...

    bus = EventBus()
    bus.subscribe(Ping, handler, name="orphan")

    async def open_and_never_close() -> None:
        await bus.__aenter__()
        bus.publish(Ping())
        await until(lambda: status_of(bus, "orphan").handled == 1)

    asyncio.run(open_and_never_close())
    other = threading.Thread(target=bus.publish, args=(Ping(),))
    other.start()
    other.join()
    bus.publish(Ping())
    assert status_of(bus, "orphan").waiting == 2


async def test_a_closed_log_does_not_reach_a_publisher(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    import structlog

    closed = open(f"{tmp_path}/log", "w", encoding="utf-8")  # noqa: SIM115, ASYNC230 - closed on purpose
    closed.close()
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=closed))
    bus = EventBus(queue=1)
    bus.subscribe(Ping, lambda event: None, name="mute")
    bus.publish(Ping())
    bus.publish(Ping())
    assert status_of(bus, "mute").dropped == 1
