"""The log of a run: numbered, readable by many, from anywhere, to its last event."""

from __future__ import annotations

import asyncio
from typing import Any

from graph.events import EventLog


async def numbers(log: EventLog, after: int = 0) -> list[int]:
    return [event["seq"] async for event in log.read(after)]


def filled() -> EventLog:
    log = EventLog("r1")
    for text in "abc":
        log.add({"type": "token", "text": text})
    return log


async def test_readers_before_during_and_after_see_every_event_once() -> None:
    log = filled()
    early = asyncio.create_task(numbers(log))
    middle = asyncio.create_task(numbers(log, after=2))
    await asyncio.sleep(0)
    log.add({"type": "token", "text": "d"})
    log.add({"type": "done"})
    assert await early == [1, 2, 3, 4, 5]
    assert await middle == [3, 4, 5]
    assert await numbers(log) == [1, 2, 3, 4, 5]


async def test_nothing_is_added_after_the_last_event() -> None:
    log = filled()
    log.add({"type": "error", "code": "x"})
    log.add({"type": "done"})
    found: list[dict[str, Any]] = [event async for event in log.read()]
    assert [event["type"] for event in found][-1] == "error"
    assert all(event["run_id"] == "r1" for event in found)
