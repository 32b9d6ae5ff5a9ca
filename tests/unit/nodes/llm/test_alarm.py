"""Waits that end in time, many of them on one timer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing

import pytest

from nodes.llm.connections import Alarm


@pytest.fixture
async def alarm() -> AsyncIterator[Alarm]:
    with closing(Alarm()) as alarm:
        yield alarm


def soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_a_wait_that_takes_too_long_ends_and_the_task_goes_on(alarm: Alarm) -> None:
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await alarm.wait(asyncio.Event().wait(), soon(0.01))
    assert await alarm.wait(asyncio.sleep(0, "here"), soon(5)) == "here"


async def test_a_later_end_holds_although_the_timer_was_set_for_an_earlier_one(alarm: Alarm) -> None:
    assert await alarm.wait(asyncio.sleep(0, 1), soon(0.01)) == 1
    assert await alarm.wait(asyncio.sleep(0.05, 2), soon(5)) == 2


async def test_an_earlier_end_holds_although_the_timer_was_set_for_a_later_one(alarm: Alarm) -> None:
    assert await alarm.wait(asyncio.sleep(0, 1), soon(60)) == 1
    with pytest.raises(TimeoutError):
        await alarm.wait(asyncio.Event().wait(), soon(0.01))


async def test_nobody_is_disturbed_who_does_not_wait(alarm: Alarm) -> None:
    assert await alarm.wait(asyncio.sleep(0, 1), soon(0.01)) == 1
    await asyncio.sleep(0.05)
    assert await alarm.wait(asyncio.sleep(0, 2), soon(5)) == 2


async def test_many_waits_take_one_timer(alarm: Alarm, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers = asyncio.get_running_loop(), list[float]()
    real = loop.call_at

    def counted(when: float, callback: object, *args: object, **options: object) -> asyncio.TimerHandle:
        timers.append(when)
        return real(when, callback, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_at", counted)
    for _ in range(100):
        await alarm.wait(asyncio.sleep(0), soon(60))
    assert len(timers) == 1


async def test_who_cancels_the_task_is_heard_also_while_it_waits(alarm: Alarm) -> None:
    async def waits() -> None:
        with pytest.raises(asyncio.CancelledError):
            await alarm.wait(asyncio.Event().wait(), soon(60))
        raise asyncio.CancelledError

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_cancel_that_comes_with_the_alarm_wins(alarm: Alarm) -> None:
    async def waits() -> None:
        await alarm.wait(asyncio.Event().wait(), soon(0))

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    alarm._ring()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
