"""Topics and ears within one process."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.engine import URL, make_url

from core.health import HealthState
from core.settings import Places
from core.signals import Signals, opened_signals
from core.signals.signals import NoRelay
from tests.unit.core.signals.parts import PATIENCE_S, SILENCE_S

UNFIT = ["", "x" * 201, "grüße", "a\0b", "a\nb"]


@pytest.fixture
def signals() -> Signals:
    return Signals(NoRelay("alone"))


async def test_a_listener_hears_what_is_sent_from_its_entering_on(signals: Signals) -> None:
    signals.send("run:1")
    with signals.listen("run:1") as ear:
        assert not await ear.heard(timeout=0)
        signals.send("run:1")
        assert await ear.heard(PATIENCE_S)


async def test_a_listener_that_waits_is_woken(signals: Signals) -> None:
    with signals.listen("run:1") as ear:
        waiting = asyncio.create_task(ear.heard())
        await asyncio.sleep(0)
        signals.send("run:1")
        async with asyncio.timeout(PATIENCE_S):
            assert await waiting


async def test_several_sends_may_count_as_one(signals: Signals) -> None:
    with signals.listen("run:1") as ear:
        for _ in range(3):
            signals.send("run:1")
        assert await ear.heard(PATIENCE_S)
        assert not await ear.heard(timeout=0)


async def test_another_topic_is_not_heard(signals: Signals) -> None:
    with signals.listen("run:1") as ear:
        signals.send("run:2")
        assert not await ear.heard(SILENCE_S)


async def test_every_listener_of_a_topic_hears_it_each_for_itself(signals: Signals) -> None:
    with signals.listen("run:1") as first, signals.listen("run:1") as second:
        signals.send("run:1")
        assert await first.heard(PATIENCE_S)
        assert await second.heard(PATIENCE_S)


async def test_a_wait_that_was_cancelled_takes_nothing_away(signals: Signals) -> None:
    with signals.listen("run:1") as ear:
        waiting = asyncio.create_task(ear.heard())
        await asyncio.sleep(0)
        signals.send("run:1")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert await ear.heard(timeout=0)


async def test_a_signal_at_the_moment_of_the_timeout_is_not_lost(signals: Signals) -> None:
    loop = asyncio.get_running_loop()
    with signals.listen("run:1") as ear:
        # Due together with the timeout, in whichever order the loop takes them.
        loop.call_later(0.01, signals.send, "run:1")
        assert await ear.heard(0.01) or await ear.heard(PATIENCE_S)


async def test_who_left_is_forgotten(signals: Signals) -> None:
    with signals.listen("run:1"), signals.listen("run:1"), signals.listen("run:2"):
        assert (await signals.check()).details["topics"] == 2
    assert (await signals.check()).details["topics"] == 0


async def test_wake_all_wakes_every_listener(signals: Signals) -> None:
    with signals.listen("run:1") as first, signals.listen("run:2") as second:
        signals.wake_all()
        assert await first.heard(PATIENCE_S)
        assert await second.heard(PATIENCE_S)


@pytest.mark.parametrize("topic", UNFIT)
async def test_what_is_no_topic_cannot_be_listened_to_and_goes_nowhere(signals: Signals, topic: str) -> None:
    with pytest.raises(ValueError, match="1 to 200 printable ASCII"), signals.listen(topic):
        pass
    signals.send(topic)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite+aiosqlite://",
        "sqlite+aiosqlite:///:memory:",
        "sqlite+aiosqlite:///file:x?mode=memory&uri=true",
    ],
)
async def test_a_database_in_memory_has_signals_within_its_process_and_says_so(
    url: str, places: Places
) -> None:
    async with opened_signals(make_url(url), places) as signals:
        with signals.listen("run:1") as ear:
            signals.send("run:1")
            assert await ear.heard(PATIENCE_S)
        health = await signals.check()
    assert health.state is HealthState.DEGRADED
    assert health.reason == "a database in memory has no other processes"
    assert health.since is not None
    assert not places.home.exists()


async def test_sending_is_harmless_after_the_end(database: URL, places: Places) -> None:
    async with opened_signals(database, places) as signals:
        assert (await signals.check()).state is HealthState.HEALTHY
    with signals.listen("run:1") as ear:
        signals.send("run:1")
        assert await ear.heard(PATIENCE_S)
    health = await signals.check()
    assert (health.state, health.reason) == (HealthState.DEGRADED, "closed")
