"""The memory of one process: bounded, and forgetful in time."""

from __future__ import annotations

from core.cache.memory import Memory


async def test_what_was_asked_for_longest_ago_leaves_first() -> None:
    memory = Memory(2)
    await memory.set("a", b"1", expire=60)
    await memory.set("b", b"2", expire=60)
    assert await memory.get("a") == b"1"
    await memory.set("c", b"3", expire=60)
    assert [await memory.get(key) for key in "abc"] == [b"1", None, b"3"]


async def test_what_is_over_is_gone() -> None:
    memory = Memory(2)
    await memory.set("a", b"1", expire=0)
    assert await memory.get("a", default=b"none") == b"none"
    await memory.set("a", b"2", expire=60)
    assert await memory.get("a") == b"2"


async def test_what_begins_alike_is_forgotten_together() -> None:
    memory = Memory(10)
    for key in ("one:a", "one:b", "other:a"):
        await memory.set(key, b"1", expire=60)
    await memory.delete_match("one:*")
    assert [await memory.get(key) for key in ("one:a", "one:b", "other:a")] == [None, None, b"1"]
    await memory.close()
    assert await memory.get("other:a") is None
