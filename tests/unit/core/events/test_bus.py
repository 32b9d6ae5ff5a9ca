"""The event bus when all goes well: types, order, threads, opening and closing."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import defaultdict
from dataclasses import dataclass
from functools import partial

import pytest

from core.correlation import correlated, current
from core.errors import ConfigInvalid
from core.events import Event, EventBus, record
from core.health import HealthState
from core.observability import REGISTRY


@dataclass(frozen=True, slots=True)
class Stored(Event):
    key: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class StoredTwice(Stored):
    pass


@dataclass(frozen=True, slots=True)
class Deleted(Event):
    key: str


def published(kind: str) -> float:
    return REGISTRY.get_sample_value("waystation_events_total", {"event": kind}) or 0.0


def deliveries(subscriber: str, outcome: str) -> float:
    labels = {"subscriber": subscriber, "outcome": outcome}
    return REGISTRY.get_sample_value("waystation_event_deliveries_total", labels) or 0.0


async def test_a_subscriber_gets_its_type_and_the_types_below_it() -> None:
    async with EventBus() as bus:
        with record(bus, Stored) as seen:
            bus.publish(Deleted("a"))
            bus.publish(Stored("b"))
            bus.publish(StoredTwice("c"))
            await seen.wait_for(Stored, 2)
    assert [event.what for event in seen] == ["Stored", "StoredTwice"]


async def test_one_subscription_to_a_type_and_its_parent_gets_an_event_once() -> None:
    async with EventBus() as bus:
        with record(bus, Event, Stored, StoredTwice) as seen:
            bus.publish(StoredTwice("a"))
            bus.publish(Deleted("b"))
            await seen.wait_for(Deleted)
    assert [event.what for event in seen] == ["StoredTwice", "Deleted"]


async def test_a_type_that_was_published_before_reaches_a_later_subscriber() -> None:
    async with EventBus() as bus:
        bus.publish(Stored("early"))
        with record(bus, Stored) as seen:
            bus.publish(Stored("late"))
            assert [event.key for event in await seen.wait_for(Stored)] == ["late"]


async def test_a_sync_handler_runs_off_the_event_loop() -> None:
    threads: list[str] = []
    async with EventBus() as bus:
        bus.subscribe(Stored, lambda event: threads.append(threading.current_thread().name), name="sync-one")
        bus.publish(Stored("a"))
    assert threads == ["events:sync-one"]


class Callee:
    """Handlers of every shape."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def method(self, event: Stored) -> None:
        self.seen.append(event.key)

    async def __call__(self, event: Stored) -> None:
        self.seen.append(event.key)

    async def with_more(self, mark: str, event: Stored) -> None:
        self.seen.append(f"{mark}{event.key}")


async def test_methods_partials_and_callable_objects_can_handle() -> None:
    callee = Callee()
    async with EventBus() as bus:
        bus.subscribe(Stored, callee.method, name="method")
        bus.subscribe(Stored, callee, name="object")
        bus.subscribe(Stored, partial(callee.with_more, "p-"), name="partial")
        bus.publish(Stored("a"))
    assert sorted(callee.seen) == ["a", "a", "p-a"]
    assert {status.failed for status in bus.status()} == {0}


async def test_a_lambda_survives_garbage_collection() -> None:
    seen: list[str] = []
    async with EventBus() as bus:
        bus.subscribe(Stored, lambda event: seen.append(event.key), name="lambda")
        gc.collect()
        bus.publish(Stored("a"))
    assert seen == ["a"]


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_events_of_each_publisher_keep_their_order(kind: str) -> None:
    seen: dict[str, list[int]] = defaultdict(list)

    def note(event: Stored) -> None:
        seen[event.key].append(event.number)

    async def note_async(event: Stored) -> None:
        note(event)

    def publisher(key: str) -> None:
        for number in range(1000):
            bus.publish(Stored(key, number))

    async with EventBus(queue=10_000) as bus:
        bus.subscribe(Stored, note_async if kind == "async" else note, name="orderly")
        threads = [threading.Thread(target=publisher, args=(f"thread-{n}",)) for n in range(3)]
        for thread in threads:
            thread.start()
        publisher("loop")
        for thread in threads:
            await asyncio.to_thread(thread.join)
    assert set(seen) == {"loop", "thread-0", "thread-1", "thread-2"}
    assert all(numbers == list(range(1000)) for numbers in seen.values())


async def test_events_published_before_the_bus_opens_are_handled_when_it_does() -> None:
    bus = EventBus()
    with record(bus, Stored) as seen:
        bus.publish(Stored("early"))
        assert bus.status()[0].waiting == 1
        async with bus:
            await seen.wait_for(Stored)
    assert seen.of(Stored)[0].key == "early"


async def test_publishing_and_subscribing_after_the_end_are_safe_and_count_as_dropped() -> None:
    bus = EventBus()
    async with bus:
        bus.subscribe(Stored, lambda event: None, name="ended")
    bus.subscribe(Stored, lambda event: None, name="too-late")
    await asyncio.to_thread(bus.publish, Stored("late"))
    bus.publish(Stored("later"))
    assert {status.name: status.dropped for status in bus.status()} == {"ended": 2, "too-late": 2}


async def test_closing_finishes_what_is_queued() -> None:
    seen: list[int] = []

    async def slow(event: Stored) -> None:
        await asyncio.sleep(0)
        seen.append(event.number)

    async with EventBus() as bus:
        bus.subscribe(Stored, slow, name="slow")
        for number in range(100):
            bus.publish(Stored("a", number))
    assert seen == list(range(100))


async def test_a_subscriber_may_come_from_a_thread_and_be_async() -> None:
    callee = Callee()
    async with EventBus() as bus:
        await asyncio.to_thread(bus.subscribe, Stored, callee.method, name="from-thread")
        await asyncio.to_thread(bus.publish, Stored("a"))
    assert callee.seen == ["a"]


async def test_after_unsubscribing_what_waits_is_handled_and_no_more_comes() -> None:
    callee = Callee()
    async with EventBus() as bus:
        subscription = bus.subscribe(Stored, callee.method, name="leaving")
        bus.publish(Stored("a"))
        bus.unsubscribe(subscription)
        bus.publish(Stored("b"))
        assert bus.status() == []
        bus.unsubscribe(subscription)
    assert callee.seen == ["a"]


async def test_unsubscribed_before_the_start_is_never_called() -> None:
    callee = Callee()
    bus = EventBus()
    bus.unsubscribe(bus.subscribe(Stored, callee.method, name="never"))
    async with bus:
        bus.publish(Stored("a"))
    assert callee.seen == []


def test_two_subscribers_of_one_name_are_refused() -> None:
    bus = EventBus()
    bus.subscribe(Stored, lambda event: None, name="audit")
    with pytest.raises(ConfigInvalid, match="two event subscribers are called 'audit'"):
        bus.subscribe(Stored, lambda event: None, name="audit")


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_handler_works_under_the_ids_of_its_event_and_of_nobody_else(kind: str) -> None:
    seen: list[tuple[str, str]] = []

    def note(event: Event) -> None:
        seen.append((current().run_id, current().user))

    async def note_async(event: Event) -> None:
        note(event)

    with correlated(run_id="opener", user="root"):
        async with EventBus() as bus:
            bus.subscribe(Stored, note_async if kind == "async" else note, name="ids")
            with correlated(run_id="r1", user="ada"):
                event = Stored("a")
            bus.publish(event)
            bus.publish(Stored("b", by=type(event.by)()))
    assert seen == [("r1", "ada"), ("", "")]


async def test_events_and_deliveries_are_counted() -> None:
    before = published("StoredTwice"), deliveries("counted", "ok")
    async with EventBus() as bus:
        bus.subscribe(Stored, lambda event: None, name="counted")
        bus.publish(StoredTwice("a"))
    assert (published("StoredTwice"), deliveries("counted", "ok")) == (before[0] + 1, before[1] + 1)
    [status] = bus.status()
    assert (status.name, status.events, status.handled) == ("counted", ("Stored",), 1)
    health = await bus.check()
    assert health.state is HealthState.HEALTHY
    assert health.details["counted"] == {"handled": 1, "failed": 0, "dropped": 0, "waiting": 0}


async def test_a_bus_that_nobody_opened_costs_its_publishers_nothing() -> None:
    bus = EventBus(queue=2)
    bus.subscribe(Stored, lambda event: None, name="unopened")
    for _ in range(5):
        bus.publish(Stored("a"))
    assert (bus.status()[0].waiting, bus.status()[0].dropped) == (2, 3)


async def test_a_recorder_says_what_it_saw_instead() -> None:
    async with EventBus() as bus:
        with record(bus) as seen:
            bus.publish(Deleted("a"))
            await seen.wait_for(Deleted)
            with pytest.raises(AssertionError, match="Stored was not seen 1 times; seen: Deleted"):
                await seen.wait_for(Stored, timeout=0.01)


async def test_a_bus_can_close_while_a_recorder_is_still_there() -> None:
    bus = EventBus()
    with record(bus) as seen:
        async with bus:
            bus.publish(Stored("a"))
    assert [event.what for event in seen] == ["Stored"]
