"""The way into a turn: how many are opened at a time, and who comes in next."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from graph.turn.driver import Doorway

FOR_EVER = 3600.0
SOON = 10.0


class Guests:
    """Who asks to come in, in which order they came, and when they leave."""

    def __init__(self, doorway: Doorway) -> None:
        self._doorway = doorway
        self.came: asyncio.Queue[str] = asyncio.Queue()
        self.leaves: dict[str, asyncio.Event] = {}

    def ask(self, name: str) -> asyncio.Task[None]:
        self.leaves[name] = asyncio.Event()
        return asyncio.create_task(self._pass(name))

    async def next_in(self) -> str:
        async with asyncio.timeout(SOON):
            return await self.came.get()

    async def _pass(self, name: str) -> None:
        with await self._doorway.enter():
            self.came.put_nowait(name)
            await self.leaves[name].wait()


async def test_turns_come_in_one_after_another_in_the_order_of_asking() -> None:
    guests = Guests(Doorway(at_once=1, longest_s=FOR_EVER))
    tasks = [guests.ask(name) for name in "abc"]
    for name in "abc":
        assert await guests.next_in() == name
        assert guests.came.empty()
        guests.leaves[name].set()
    await asyncio.gather(*tasks)


async def test_one_that_takes_long_keeps_nobody_waiting() -> None:
    guests = Guests(Doorway(at_once=1, longest_s=0.001))
    slow, other = guests.ask("slow"), guests.ask("other")
    assert [await guests.next_in(), await guests.next_in()] == ["slow", "other"]
    slow.cancel()
    other.cancel()


async def test_a_place_is_given_back_once() -> None:
    doorway = Doorway(at_once=1, longest_s=FOR_EVER)
    with await doorway.enter() as place:
        place.leave()
        place.leave()
    guests = Guests(doorway)
    tasks = [guests.ask(name) for name in "ab"]
    assert await guests.next_in() == "a"
    await asyncio.sleep(0)
    assert guests.came.empty()
    for task in tasks:
        task.cancel()


async def test_who_gives_up_waiting_is_passed_over() -> None:
    guests = Guests(Doorway(at_once=1, longest_s=FOR_EVER))
    first, second, third = (guests.ask(name) for name in "abc")
    assert await guests.next_in() == "a"
    second.cancel()
    with suppress(asyncio.CancelledError):
        await second
    guests.leaves["a"].set()
    assert await guests.next_in() == "c"
    first.cancel()
    third.cancel()
