"""The log of a run: numbered, readable by many, from anywhere, and no bigger than its bound."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path
from typing import Any

from graph.runs.events import PAGE_CHARS, TAIL_BYTES, EventLog, LoggedEvent
from tests.kit.event_logs import reading_of

DONE = {"type": "done"}


def token(text: str) -> dict[str, Any]:
    return {"type": "token", "delta": text}


async def numbers(log: EventLog, after: int = 0) -> list[int]:
    return [entry.seq async for entry in reading_of(log, after)]


def filled(**limits: int) -> EventLog:
    log = EventLog("r1", **limits)
    for text in "abc":
        log.add(token(text))
    return log


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def in_memory(log: EventLog) -> int:
    return sum(entry.size for entry in log._entries)


async def test_readers_before_during_and_after_see_every_event_once() -> None:
    log = filled()
    early = asyncio.create_task(numbers(log))
    middle = asyncio.create_task(numbers(log, after=2))
    await asyncio.sleep(0)
    log.add(token("d"))
    log.add(DONE)
    assert await early == [1, 2, 3, 4, 5]
    assert await middle == [3, 4, 5]
    assert await numbers(log) == [1, 2, 3, 4, 5]
    assert await numbers(log, after=5) == []


async def test_nothing_is_added_after_the_last_event() -> None:
    log = filled()
    log.add({"type": "error", "code": "x"})
    log.add(DONE)
    found = [entry.event async for entry in reading_of(log)]
    assert [event["type"] for event in found][-1] == "error"
    assert all(event["run_id"] == "r1" for event in found)
    assert log.closed


async def test_a_later_attempt_counts_on_from_what_the_earlier_ones_may_have_told() -> None:
    log = filled(floor=1000)
    log.add(DONE)
    assert await numbers(log, after=1000) == [1001, 1002, 1003, 1004]
    assert not log.keeps(999)


async def test_a_number_is_not_told_before_it_is_reserved() -> None:
    log = filled(limit=2)
    log.add(DONE)
    told: list[int] = []

    async def read() -> None:
        async for entry in reading_of(log):
            told.append(entry.seq)  # noqa: PERF401 - as they come

    reading = asyncio.create_task(read())
    for _ in range(5):
        await asyncio.sleep(0)
    assert told == [1, 2]
    log.extend(3)
    for _ in range(5):
        await asyncio.sleep(0)
    assert told == [1, 2, 3]
    log.extend(1)
    assert log.limit == 3, "what is reserved stays so"
    log.extend(4)
    async with asyncio.timeout(5):
        await reading
    assert told == [1, 2, 3, 4]


async def test_what_the_database_lacks_stays_in_memory_and_the_rest_only_within_bounds() -> None:
    log = EventLog("r1")
    for _ in range(1000):
        log.add(token("x" * 1000))
    assert in_memory(log) > TAIL_BYTES, "nothing is lost that is stored nowhere"
    assert len(log.unstored()) == 1000
    log.stored(600)
    assert len(log.unstored()) == 400
    log.stored(1000)
    assert in_memory(log) <= TAIL_BYTES
    assert log.unstored() == []
    assert not log.keeps(0)
    assert log.keeps(log.floor)
    log.add(DONE)
    assert await numbers(log, after=log.floor) == list(range(log.floor + 1, 1002))


async def test_one_event_above_the_bound_is_kept() -> None:
    log = EventLog("r1")
    log.add({"type": "tool_result", "content": "x" * 2 * TAIL_BYTES})
    log.stored(1)
    assert log.keeps(0)


async def test_a_reader_that_has_fallen_behind_stops_where_it_is() -> None:
    log = EventLog("r1")
    log.add(token("first"))
    reader = reading_of(log)
    assert (await anext(reader)).seq == 1
    for _ in range(500):
        log.add(token("x" * 1000))
    log.stored(501)
    assert log.floor > 1
    assert [entry.seq async for entry in reader] == [], "its next event is only in the database"
    assert await numbers(log) == []


async def test_a_reader_in_the_middle_of_what_leaves_memory_gets_it_whole() -> None:
    log = EventLog("r1")
    for _ in range(50):
        log.add(token("x" * 1000))
    seen = []
    async for entry in reading_of(log):
        seen.append(entry.seq)
        if entry.seq == 10:
            for _ in range(500):
                log.add(token("x" * 1000))
            log.stored(550)
    assert seen == list(range(1, 51)), "what it was given at once is its own"
    assert log.floor > 50


async def test_a_reader_that_is_behind_is_given_a_page_at_once_and_in_the_end_all() -> None:
    log = EventLog("r1")
    for size in [1000] * 200 + [2 * PAGE_CHARS] + [10] * 5:
        log.add(token("x" * size))
    log.add(DONE)
    pages, place = list[Any](), 0
    while found := await log.more(place):
        pages.append(found)
        place = found[-1].seq
    assert [entry.seq for page in pages for entry in page] == list(range(1, 208))
    sizes = [sum(entry.size for entry in page) for page in pages if len(page) > 1]
    assert max(sizes) <= PAGE_CHARS
    assert len(pages) == 6


async def test_what_is_stored_is_kept_as_its_line_alone_and_read_as_before() -> None:
    log = filled()
    told = [entry.event for entry in log.unstored()]
    lines = [entry.line for entry in log.unstored()[1:]]
    log.stored(2)
    entries = await log.more(0)
    assert [entry._event is None for entry in entries] == [False, True, False], "nobody wanted the first line"
    assert [entry.line for entry in entries][1:] == lines
    assert [entry.event for entry in entries] == told
    assert [entry.kind for entry in entries] == ["token"] * 3
    log.add(DONE)
    log.stored(4)
    assert log.closed


def test_a_short_event_is_kept_in_little_memory() -> None:
    entries = [LoggedEvent({"seq": n, "type": "token", "delta": "word "}) for n in range(20_000)]
    before = resident()
    assert all(entry.line for entry in entries)
    assert (resident() - before) / len(entries) < 1024


async def test_ten_thousand_readers_cost_a_log_nothing() -> None:
    log = filled()
    readers = [asyncio.create_task(numbers(log)) for _ in range(10_000)]
    await asyncio.sleep(0)
    before = in_memory(log)
    log.add(DONE)
    assert all(found == [1, 2, 3, 4] for found in await asyncio.gather(*readers))
    assert in_memory(log) - before == log._entries[-1].size


async def test_readers_are_let_go_when_another_process_has_the_run() -> None:
    log = filled()
    reading = asyncio.create_task(numbers(log))
    await asyncio.sleep(0)
    log.abandon()
    assert await asyncio.wait_for(reading, 5) == [1, 2, 3]
    log.add(token("d"))
    assert log.last == 3
    assert await numbers(log) == []


def test_an_event_is_encoded_once() -> None:
    entry = LoggedEvent({"seq": 1, "type": "notice", "code": "x", "detail": "ä"})
    assert entry.line is entry.line
    assert entry.line == '{"seq":1,"type":"notice","code":"x","detail":"ä"}'.encode()


def test_what_json_does_not_know_becomes_text() -> None:
    class Path:
        def __str__(self) -> str:
            return "/x"

    assert b'"at":"/x"' in LoggedEvent({"seq": 1, "type": "notice", "at": Path()}).line


def test_half_a_pair_that_a_model_said_does_not_break_the_line() -> None:
    line = LoggedEvent({"seq": 1, "type": "token", "delta": "a\ud800b", "more": {"k\udc00": 1 << 70}}).line
    assert "a?b" in line.decode()
