"""What runs told, in the database: exact at every number, however it was joined."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from itertools import count
from typing import Any

import orjson
import pytest
from sqlalchemy.engine import URL

from graph.db.database import opened_database
from graph.db.tables import run_events
from graph.runs.events import JOINED_CHARS, LoggedEvent, rows_of_events, store
from tests.unit.graph.run_kit import Desk

Event = dict[str, Any]


@pytest.fixture
async def desk(database: URL) -> AsyncIterator[Desk]:
    async with opened_database(database) as engine:
        yield Desk.at(engine)


def numbered(events: Sequence[Event], *, after: int = 0) -> list[LoggedEvent]:
    return [LoggedEvent({"seq": after + n, "run_id": "r", **event}) for n, event in enumerate(events, 1)]


async def put(desk: Desk, entries: Sequence[LoggedEvent]) -> None:
    async with desk.engine.begin() as db:
        await store(db, "t", entries)


def token(text: str) -> Event:
    return {"type": "token", "delta": text}


MIXED = [
    {"type": "run_started", "thread_id": "t", "attempt": 1},
    *(token(text) for text in ("one ", "zwölf ", "", "💡💡", "nul\x00 ")),
    {"type": "reasoning", "delta": "hm "},
    {"type": "reasoning", "delta": "so"},
    {"type": "tool_call", "id": "c", "server": "s", "tool": "t", "arguments": {"a": [1, None]}},
    token("last"),
    {"type": "done", "answer": "x"},
]


def texts(events: Sequence[Event], kind: str, after: int = 0) -> str:
    """The text of one kind above a number, of events that were never joined."""
    return "".join(e["delta"] for n, e in enumerate(events, 1) if n > after and e["type"] == kind)


async def test_what_an_earlier_release_stored_is_read_with_the_names_of_now(desk: Desk) -> None:
    said = [{"type": "token", "text": "one "}, {"type": "token", "text": "two"}]
    asked = {"id": "i", "kind": "approval", "text": "May it?"}
    others: list[Event] = [
        {"type": "tool_result", "id": "c", "status": "ok", "text": "8", "duration_ms": 1, "files": []},
        {"type": "notice", "code": "n", "text": "so"},
        {"type": "done", "answer": "x", "interrupts": [asked]},
    ]
    rows = [
        {"seq": 2, "first": 1, "type": "token", "cuts": [4, 3], "data": {**said[0], "text": "one two"}},
        *(
            {"seq": n, "first": n, "type": e["type"], "cuts": None, "data": e}
            for n, e in enumerate(others, 3)
        ),
    ]
    async with desk.engine.begin() as db:
        for row in rows:
            data = orjson.dumps({"seq": row["seq"], "run_id": "r", **row["data"]}).decode()
            values = {**row, "data": data, "run_id": "r", "thread_id": "t", "created_at": 1.0}
            await db.execute(run_events.insert().values(values))
    read = [entry.event for entry in await desk.events.read("r", 1)]
    assert [read[0]["delta"], read[1]["content"], read[2]["detail"]] == ["two", "8", "so"]
    assert read[3]["interrupts"] == [{"id": "i", "kind": "approval", "detail": "May it?"}]
    assert not any("text" in event for event in read)


async def test_neighbouring_tokens_are_one_row_and_their_text_is_exact(desk: Desk) -> None:
    await put(desk, numbered(MIXED))
    found = await desk.events.read("r", 0)
    assert [(e.seq, e.event["type"]) for e in found] == [
        (1, "run_started"),
        (6, "token"),
        (8, "reasoning"),
        (9, "tool_call"),
        (10, "token"),
        (11, "done"),
    ]
    assert found[1].event["delta"] == "one zwölf 💡💡nul\x00 "
    assert found[3].event == {"seq": 9, "run_id": "r", **MIXED[8]}
    assert await desk.count(run_events) == 6


@pytest.mark.parametrize("after", range(len(MIXED) + 2))
async def test_a_reader_that_was_cut_anywhere_gets_the_rest_and_nothing_twice(desk: Desk, after: int) -> None:
    await put(desk, numbered(MIXED))
    found = [entry.event for entry in await desk.events.read("r", after)]
    for kind in ("token", "reasoning"):
        read = "".join(event["delta"] for event in found if event["type"] == kind)
        assert read == texts(MIXED, kind, after)
    others = [event["type"] for event in found if event["type"] not in ("token", "reasoning")]
    expected = [e["type"] for n, e in enumerate(MIXED, 1) if n > after and "delta" not in e]
    assert others == expected
    seqs = [event["seq"] for event in found]
    assert seqs == sorted(set(seqs))
    assert all(seq > after for seq in seqs)


async def test_long_texts_are_cut_into_rows_that_can_be_read_alone(desk: Desk) -> None:
    events = [token(f"{n:05d} " * 100) for n in range(100)]
    await put(desk, numbered(events))
    rows = await desk.events.read("r", 0)
    assert 1 < len(rows) < 100
    assert all(len(row.event["delta"]) <= JOINED_CHARS for row in rows)
    assert "".join(row.event["delta"] for row in rows) == texts(events, "token")
    one = await desk.events.read("r", rows[0].seq, limit=1)
    assert [entry.seq for entry in one] == [rows[1].seq]


async def test_one_token_longer_than_a_row_stands_alone(desk: Desk) -> None:
    events = [token("a"), token("b" * 2 * JOINED_CHARS), token("c")]
    await put(desk, numbered(events))
    assert [e.event["delta"] for e in await desk.events.read("r", 0)] == [e["delta"] for e in events]


async def test_nothing_to_store_is_stored_as_nothing(desk: Desk) -> None:
    await put(desk, [])
    assert await desk.events.read("r", 0) == []
    assert await desk.events.cut_answer("r") == ""


async def test_the_text_of_a_cut_answer_is_what_came_since_the_last_thing_that_was_no_token(
    desk: Desk,
) -> None:
    await put(desk, numbered([token("before"), MIXED[8], token("half "), token("an ")]))
    await put(desk, numbered([token("answer")], after=4))
    assert await desk.events.cut_answer("r") == "half an answer"
    await put(desk, numbered([{"type": "tool_result", "id": "c"}], after=5))
    assert await desk.events.cut_answer("r") == ""


def test_rows_stand_in_the_order_of_their_events_however_long_it_takes_to_make_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entries = numbered(MIXED)
    clock = count(entries[-1].at + 1)
    monkeypatch.setattr("graph.runs.events.time.monotonic", lambda: next(clock))
    rows = rows_of_events("t", entries, now=1000.0)
    times = [row["created_at"] for row in rows]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(999.0)
