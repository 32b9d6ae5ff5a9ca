"""Remarks reach who listens, and nobody else."""

from __future__ import annotations

import asyncio

from core.correlation import listening, notice


def test_a_notice_without_a_listener_is_dropped() -> None:
    notice("cache_status", "models; hit")


def test_the_innermost_listener_hears_a_notice() -> None:
    outer: list[tuple[str, str]] = []
    inner: list[tuple[str, str]] = []
    with listening(lambda *said: outer.append(said)):
        with listening(lambda *said: inner.append(said)):
            notice("a", "one")
        notice("b", "two")
    notice("c", "three")
    assert (inner, outer) == ([("a", "one")], [("b", "two")])


async def test_tasks_made_in_the_block_are_heard_and_other_tasks_are_not() -> None:
    async def say(text: str) -> None:
        notice("a", text)

    heard: list[str] = []
    with listening(lambda _, text: heard.append(text)):
        mine = asyncio.create_task(say("mine"))
    await asyncio.gather(mine, asyncio.create_task(say("theirs")))
    assert heard == ["mine"]
