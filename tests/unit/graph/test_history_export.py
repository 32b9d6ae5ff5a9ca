"""Threads as JSON Lines and back, and as Markdown: on each database."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from sqlalchemy import select
from sqlalchemy.engine import URL, make_url

from core.errors import InvalidInput, TooLarge
from graph.db.tables import threads
from graph.errors import ThreadNotFound
from graph.flow.state import time_of
from graph.threads.history.errors import ExportInvalid
from graph.threads.history.forms import PART_BYTES
from graph.threads.history.owning import HIDDEN
from tests.unit.graph.history_kit import ADA, BOB, World, opened_world

pytestmark = pytest.mark.slow


@pytest.fixture
async def world(database: URL) -> AsyncIterator[World]:
    async with opened_world(database) as world:
        yield world


async def exported(world: World, thread: str, form: str = "jsonl") -> bytes:
    return b"".join([piece async for piece in await world.threads.export(ADA, thread, form=form)])


async def pieces(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def imported(world: World, data: bytes, **more: Any) -> dict[str, Any]:
    return await world.threads.import_lines(ADA, pieces(data), **more)


def parsed(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def joined(lines: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


async def lived(world: World) -> dict[str, str]:
    """A thread with calls, a tool's file and an upload; gives the files' keys by name."""
    await world.say("t", "calc")
    await world.say("t", "zwei 🎈")
    made = await world.files.put(ADA, "chart.bin", bytes(range(256)) * 4000, origin="tool", thread="t")
    sent = await world.files.put(ADA, "mine.txt", b"mine", tags={"a": "b"})
    refs = [{**info.as_ref(), "thread": "t"} for info in (made, sent)]
    async with world.leases.borrow("t"):
        config = {"configurable": {"thread_id": "t"}}
        update = {"files": refs, "summary": "what came before"}
        await world.graph.aupdate_state(config, update, as_node="store_files")
    extra = {"files": [made.as_ref()], "citations": [{"n": 1, "key": "not a file"}]}
    await world.transcript.append("t", "r", [AIMessage("with files", id="m_files")], {"m_files": extra})
    await world.threads.change(ADA, "t", title="Über", tags=["x"])
    return {info.name: info.key for info in (made, sent)}


async def test_a_thread_that_went_out_comes_in_again_equal(world: World) -> None:
    keys = await lived(world)
    made = await imported(world, await exported(world, "t"))
    assert made["id"] != "t"
    assert (made["title"], made["tags"], made["turns"], made["status"]) == ("Über", ["x"], 2, "idle")
    assert not (await world.row(made["id"]))["dirty"]

    old, new = await world.transcript.onward("t"), await world.transcript.onward(made["id"])
    for before, after in zip(old, new, strict=True):
        assert all(before[name] == after[name] for name in ("message_id", "role", "text"))
        assert time_of(before["created_at"]) == time_of(after["created_at"])
    states = [
        (await world.graph.aget_state({"configurable": {"thread_id": thread}})).values
        for thread in ("t", made["id"])
    ]
    assert states[0]["messages"] == states[1]["messages"]
    assert states[1]["summary"] == "what came before"

    for ref in states[1]["files"]:
        assert ref["key"] != keys[ref["name"]]
        assert ref["thread"] == made["id"]
        copies = [
            b"".join([c async for c in world.files.open(ADA, key)]) for key in (ref["key"], keys[ref["name"]])
        ]
        assert copies[0] == copies[1]
    tool = next(ref for ref in states[1]["files"] if ref["origin"] == "tool")
    assert new[-1]["extra"]["files"][0]["key"] == tool["key"]
    assert new[-1]["extra"]["citations"] == [{"n": 1, "key": "not a file"}]


async def test_the_next_message_works_and_the_original_is_untouched(world: World) -> None:
    keys = await lived(world)
    before = await exported(world, "t")
    made = (await imported(world, before))["id"]
    await world.say(made, "three")
    assert (await world.texts(made))[-2:] == ["three", "re: three"]
    assert await exported(world, "t") == before
    await world.threads.delete(ADA, made)
    assert await world.rows_of(made) == {}
    assert (await world.files.info(ADA, keys["chart.bin"])).thread == "t"


async def test_it_goes_from_one_database_to_another(postgres_url: URL, tmp_path: Path) -> None:
    sqlite = make_url(f"sqlite+aiosqlite:///{tmp_path / 'w.db'}")
    async with opened_world(sqlite) as here, opened_world(postgres_url) as there:
        await lived(here)
        data = await exported(here, "t")
        made = (await imported(there, data))["id"]
        await there.say(made, "on")
        assert await there.texts(made) == [*(await here.texts("t")), "on", "re: on"]
        data = await exported(there, made)
        assert (await imported(here, data))["turns"] == 3


async def test_a_thread_is_its_importers(world: World) -> None:
    await lived(world)
    made = (await world.threads.import_lines(BOB, pieces(await exported(world, "t"))))["id"]
    with pytest.raises(ThreadNotFound):
        await world.threads.get(ADA, made)
    for ref in (await world.threads.state(BOB, made))["files"]:
        assert (await world.files.info(BOB, ref["key"])).owner == "bob"
    with pytest.raises(ThreadNotFound):
        await world.threads.export(BOB, "t")


async def test_a_large_file_is_many_lines_and_none_is_long(world: World) -> None:
    await lived(world)
    lines = (await exported(world, "t")).splitlines()
    parts = [json.loads(line) for line in lines if b'"part"' in line[:20]]
    assert len(parts) == 256 * 4000 // PART_BYTES + 2
    assert max(map(len, lines)) < 2 * PART_BYTES


async def test_a_question_that_waits_comes_in_as_a_call_without_a_result(world: World) -> None:
    await world.say("t", "ask")
    made = await imported(world, await exported(world, "t"))
    assert (made["status"], made["waiting"]) == ("idle", [])
    assert (await world.texts(made["id"]))[-1] == "interrupted, result unknown"
    assert (await world.transcript.onward(made["id"]))[-1]["role"] == "tool"
    await world.say(made["id"], "on")


async def test_an_empty_thread_and_one_with_odd_words_go_out_and_come_in(world: World) -> None:
    await world.threads.create(ADA, thread_id="e", title="Empty")
    assert (await imported(world, await exported(world, "e")))["title"] == "Empty"
    await world.say("t", "one")
    odd = AIMessage("", id="m_odd")
    odd.tool_calls = [
        {
            "name": "n",
            "args": {"big": 2**80, "half": "\ud800", "nul": "a\x00b"},
            "id": "c",
            "type": "tool_call",
        }
    ]
    await world.transcript.append("t", "r", [odd])
    made = (await imported(world, await exported(world, "t")))["id"]
    (call,) = (await world.transcript.onward(made))[-1]["extra"]["tool_calls"]
    assert call["arguments"] == {"big": str(2**80), "half": "?", "nul": "a\x00b"}


def changed(at: int, **values: Any) -> Any:
    def change(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**line, **values} if n == at % len(lines) else line for n, line in enumerate(lines)]

    return change


def swapped(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [lines[0], *lines[:0:-1]]


def seen(message: dict[str, Any]) -> Any:
    """One more message of the state."""
    return lambda lines: [*lines[:-2], {"type": "window", "message": message}, *lines[-2:]]


BAD: dict[str, tuple[Any, int]] = {
    "nothing": (lambda lines: [], 1),
    "no head": (lambda lines: lines[1:], 1),
    "two heads": (lambda lines: [lines[0], *lines], 2),
    "another format": (changed(0, format="other"), 1),
    "a newer version": (changed(0, version=2), 1),
    "an unknown field": (changed(0, more=1), 1),
    "too many tags": (changed(0, tags=["x"] * 21), 1),
    "a long tag": (changed(0, tags=["x" * 41]), 1),
    "a title with NUL": (changed(0, title="a\0b"), 1),
    "a time without a zone": (changed(0, created_at="2026-01-01T00:00:00"), 1),
    "a file without its end": (lambda lines: [line for line in lines if line["type"] != "part"], 2),
    "a file that is another": (changed(1, etag="0"), 2),
    "a file twice": (lambda lines: [*lines[:2], *lines[2:5], lines[1], *lines[1:]], 6),
    "no base64": (changed(2, data="%%%"), 3),
    "a role of its own": (changed(-10, role="root"), 0),
    "a message twice": (lambda lines: [*lines[:-8], *lines[-9:]], 0),
    "a message of an odd type": (seen({"type": "remove", "id": "x"}), 0),
    "a message with an odd field": (seen({"type": "human", "content": "x", "id": "m", "example": 1}), 0),
    "a message without an id": (seen({"type": "human", "content": "x"}), 0),
    "a message whose extra is odd": (changed(-10, extra={"tool_calls": [1]}), 0),
    "a message that says it is another": (changed(-10, extra={"role": "system"}), 0),
    "a message with an odd record": (
        seen({"type": "tool", "content": "", "id": "m", "tool_call_id": "c",
              "additional_kwargs": {"waystation": "x"}}), 0),
    "a message with odd content": (
        seen({"type": "human", "content": [{"type": "text", "text": 1}], "id": "m"}), 0),
    "deep": (changed(-2, summary=json.loads("[" * 100 + "]" * 100)), 0),
    "another order": (swapped, 2),
    "one too few": (lambda lines: [*lines[:-3], *lines[-2:]], 0),
    "cut": (lambda lines: lines[:-1], 0),
    "more behind the end": (lambda lines: [*lines, lines[-1]], 0),
}  # fmt: skip


REASONS = {
    "a role of its own": "role",
    "a message twice": "a second time",
    "a message whose extra is odd": "tool_calls",
    "a message that says it is another": "'role' is a field of the message itself",
    "a message with an odd record": "dictionary",
    "a message with odd content": "no text",
    "deep": "deeper",
    "one too few": "counts",
    "cut": "ends here",
    "a file without its end": "content of file",
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_not_whole_is_refused_by_line_and_leaves_nothing(world: World, name: str) -> None:
    await lived(world)
    files = {info.key for info in await world.files.list(ADA)}
    change, number = BAD[name]
    data = joined(change(parsed(await exported(world, "t"))))
    with pytest.raises(ExportInvalid, match=rf"^line {number or '[0-9]+'}: ") as refused:
        await imported(world, data)
    assert REASONS.get(name, "") in refused.value.detail
    async with world.engine.connect() as db:
        assert list((await db.execute(select(threads.c.id))).scalars()) == ["t"]
    assert {info.key for info in await world.files.list(ADA)} == files


@pytest.mark.parametrize(
    "data",
    [b"{", b"\xff\xfe", b"[1]", b'{"type": "nope"}', b"null", b'{"type": "thread", "x": NaN}', b"\n\n"],
)
async def test_a_body_of_anything_is_refused(world: World, data: bytes) -> None:
    with pytest.raises(ExportInvalid, match="line 1: "):
        await imported(world, data)


@pytest.mark.parametrize("data", [b'{"a": 1}', b'{"type": "nope"}', b"[1]"])
async def test_another_kind_of_file_is_told_as_one(world: World, data: bytes) -> None:
    with pytest.raises(
        ExportInvalid, match="line 1: is no line of an export, which `waystation threads export`"
    ):
        await imported(world, data)


async def test_too_much_is_refused(world: World) -> None:
    await lived(world)
    data = await exported(world, "t")
    with pytest.raises(TooLarge, match="over 5000 bytes"):
        await imported(world, data, most_bytes=5000)
    with pytest.raises(TooLarge, match="a line is over"):
        await imported(world, b"x" * 9_000_000)


async def test_an_import_that_is_killed_is_swept(world: World) -> None:
    await lived(world)
    data = await exported(world, "t")

    async def dies() -> AsyncIterator[bytes]:
        yield data[: len(data) // 2]
        async with world.engine.connect() as db:
            owners = list((await db.execute(select(threads.c.owner))).scalars())
        assert sorted(owners) == ["ada", f"{HIDDEN}ada"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await world.threads.import_lines(ADA, dies())
    assert [thread["id"] for thread in await world.threads.list(ADA)] == ["t"]


async def test_keys_that_the_export_does_not_bring_open_nothing(world: World) -> None:
    await lived(world)
    secret = await world.files.put(BOB, "secret.txt", b"secret")
    lines = parsed(await exported(world, "t"))
    lines[-2]["files"].append(secret.key)
    made = (await imported(world, joined(lines)))["id"]
    assert secret.key not in [ref["key"] for ref in (await world.threads.state(ADA, made))["files"]]


async def test_markdown_is_for_people(world: World) -> None:
    await world.threads.create(ADA, thread_id="t", title="My\n# title")
    calls = [{"id": "c", "name": "calc_add", "args": {"a": 1}, "type": "tool_call"}]
    record = {"waystation": {"server": "calc", "tool": "add", "status": "ok"}}
    citation = {"n": 1, "title": "Handbook", "source": "harbour", "quote": "a\nberth"}
    await world.transcript.append(
        "t",
        "r",
        [
            HumanMessage("What is it?", id="m1"),
            AIMessage("", id="m2", tool_calls=calls),
            ToolMessage(
                "````\nnot the end", id="m3", tool_call_id="c", name="calc_add", additional_kwargs=record
            ),
            AIMessage("It is [1].", id="m4"),
            AIMessage("It", id="m5"),
        ],
        {
            "m4": {"citations": [citation], "files": [{"key": "f", "name": "chart.png"}]},
            "m5": {"partial": True},
        },
    )
    text = (await exported(world, "t", "markdown")).decode()
    assert text.startswith("# My # title\n\nThread `t`, begun ")
    for part in (
        "## User\n",
        "What is it?",
        'Calls `calc_add`:\n\n```json\n{\n  "a": 1\n}\n```',
        "## Tool `add` (ok)",
        "`````\n````\nnot the end\n`````",
        "- [1] Handbook (harbour): a berth",
        "- file: chart.png",
        "*(cut off)*",
    ):
        assert part in text
    with pytest.raises(InvalidInput, match="jsonl or markdown"):
        await world.threads.export(ADA, "t", form="pdf")


async def test_a_file_that_was_deleted_is_left_out(world: World) -> None:
    keys = await lived(world)
    await world.files.delete(ADA, keys["mine.txt"])
    made = (await imported(world, await exported(world, "t")))["id"]
    assert [ref["name"] for ref in (await world.threads.state(ADA, made))["files"]] == ["chart.bin"]


def test_a_part_fits_a_line() -> None:
    assert len(base64.b64encode(b"x" * PART_BYTES)) < 1_000_000
