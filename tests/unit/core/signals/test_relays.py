"""What holds for signals between processes, whatever the database."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvloop
from sqlalchemy.engine import URL

from core.settings import Places
from core.signals import opened_signals
from core.signals.opening import relay_of
from tests.unit.core.signals.parts import PATIENCE_S, Log, opened_relay, peer

MANY = 10_000
IDLE_S = 1.0


async def test_another_process_hears_and_is_heard(database: URL, places: Places) -> None:
    async with (
        peer(database, places) as other,
        opened_signals(database, places) as signals,
    ):
        with signals.listen("pong") as ear:
            for _ in range(3):
                signals.send("ping")
                assert await ear.heard(PATIENCE_S)
        assert await other.leave() == 0


async def test_own_signals_do_not_come_back(database: URL, places: Places) -> None:
    async with (
        opened_relay(database, places) as (one, at_one),
        opened_relay(database, places) as (two, at_two),
    ):
        one.send("from one")
        await at_two.hears("from one")
        two.send("from two")
        await at_one.hears("from two")
        assert (at_one.topics, at_two.topics) == (["from two"], ["from one"])


async def test_many_sends_of_a_topic_are_one(database: URL, places: Places) -> None:
    async with opened_relay(database, places) as (one, _), opened_relay(database, places) as (_, at_two):
        for _ in range(MANY):
            one.send("run:1")
        one.send("end")
        await at_two.hears("end")
        assert at_two.topics == ["run:1", "end"]


async def test_many_topics_all_arrive(database: URL, places: Places) -> None:
    topics = [f"run:{number}" for number in range(MANY)]
    async with opened_relay(database, places) as (one, _), opened_relay(database, places) as (_, at_two):
        for topic in topics:
            one.send(topic)
        await at_two.hears(topics[-1])
        assert at_two.topics == topics


async def test_what_is_sent_just_before_the_end_still_arrives(database: URL, places: Places) -> None:
    async with opened_relay(database, places) as (_, at_two):
        async with opened_relay(database, places) as (one, _):
            one.send("last words")
        await at_two.hears("last words")
        one.send("too late")
        async with opened_relay(database, places) as (three, _):
            three.send("end")
            await at_two.hears("end")
        assert "too late" not in at_two.topics


async def test_any_topic_travels_as_it_is(database: URL, places: Places) -> None:
    topics = ["'; DROP TABLE runs; --", "%s {} \\ $1", "x" * 200, " "]
    async with opened_relay(database, places) as (one, _), opened_relay(database, places) as (_, at_two):
        for topic in topics:
            one.send(topic)
        await at_two.hears(topics[-1])
        assert at_two.topics == topics


async def test_sending_before_the_beginning_is_harmless(database: URL, places: Places) -> None:
    relay, log = relay_of(database, places), Log()
    relay.send("run:1")
    async with relay.opened(log.hear, log.miss), opened_relay(database, places) as (other, _):
        other.send("end")
        await log.hears("end")
        assert log.topics == ["end"]


async def test_nobody_wakes_up_while_nothing_happens(
    database: URL, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop: Any = asyncio.get_running_loop()
    async with opened_signals(database, places) as one, opened_signals(database, places) as two:
        with one.listen("run:1") as ear, two.listen("run:2") as other:
            two.send("run:1")
            one.send("run:2")
            assert await ear.heard(PATIENCE_S)
            assert await other.heard(PATIENCE_S)
            turns = count_turns(loop, monkeypatch)
            await ear.heard(IDLE_S)
            # The beginning, the time that is over, and what was still under way; ten more would be polling.
            assert len(turns) < 8


def count_turns(loop: Any, monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Gets one entry for each time that the loop looks for something to do."""
    turns: list[float | None] = []
    select = loop._selector.select

    def counted(timeout: float | None = None) -> Any:
        turns.append(timeout)
        return select(timeout)

    monkeypatch.setattr(loop._selector, "select", counted)
    return turns


def test_uvloop_carries_signals_too(database: URL, places: Places) -> None:
    async def there_and_back() -> None:
        async with opened_signals(database, places) as one, opened_signals(database, places) as two:
            with one.listen("pong") as at_one, two.listen("ping") as at_two:
                for _ in range(3):
                    one.send("ping")
                    assert await at_two.heard(PATIENCE_S)
                    two.send("pong")
                    assert await at_one.heard(PATIENCE_S)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(there_and_back())
