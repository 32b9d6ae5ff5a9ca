"""The way into a turn: how many are opened at a time, and who comes in next."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from graph.turn.slots import TurnSlots

FOR_EVER = 3600.0
SOON = 10.0


class Guests:
    """Who asks to come in, in which order they came, and when they leave."""

    def __init__(self, slots: TurnSlots) -> None:
        self._slots = slots
        self.came: asyncio.Queue[str] = asyncio.Queue()
        self.leaves: dict[str, asyncio.Event] = {}

    def ask(self, name: str, user: str = "ada") -> asyncio.Task[None]:
        self.leaves[name] = asyncio.Event()
        return asyncio.create_task(self._pass(name, user))

    async def next_in(self) -> str:
        async with asyncio.timeout(SOON):
            return await self.came.get()

    async def _pass(self, name: str, user: str) -> None:
        with await self._slots.enter(user):
            self.came.put_nowait(name)
            await self.leaves[name].wait()


async def test_turns_come_in_one_after_another_in_the_order_of_asking() -> None:
    guests = Guests(TurnSlots(at_once=1, longest_s=FOR_EVER))
    tasks = [guests.ask(name) for name in "abc"]
    for name in "abc":
        assert await guests.next_in() == name
        assert guests.came.empty()
        guests.leaves[name].set()
    await asyncio.gather(*tasks)


async def test_a_user_with_many_turns_keeps_others_waiting_for_one_of_them() -> None:
    guests = Guests(TurnSlots(at_once=1, longest_s=FOR_EVER))
    tasks = [guests.ask(f"ada {number}", "ada") for number in range(4)]
    assert await guests.next_in() == "ada 0"
    tasks += [guests.ask("bob 0", "bob"), guests.ask("cyd 0", "cyd"), guests.ask("bob 1", "bob")]
    came, last = list[str](), "ada 0"
    for _ in range(6):
        guests.leaves[last].set()
        came.append(last := await guests.next_in())
    assert came == ["ada 1", "bob 0", "cyd 0", "ada 2", "bob 1", "ada 3"]
    guests.leaves[last].set()
    await asyncio.gather(*tasks)


async def test_who_is_let_in_while_it_gives_up_lets_the_next_one_in() -> None:
    slots = TurnSlots(at_once=1, longest_s=FOR_EVER)
    guests = Guests(slots)
    place = await slots.enter("ada")
    second, third = guests.ask("b", "bob"), guests.ask("c", "cyd")
    await asyncio.sleep(0)
    place.leave()  # now the place is the second one's, which has not heard of it
    second.cancel()
    assert await guests.next_in() == "c"
    third.cancel()


async def test_one_that_takes_long_keeps_nobody_waiting() -> None:
    guests = Guests(TurnSlots(at_once=1, longest_s=0.001))
    slow, other = guests.ask("slow"), guests.ask("other")
    assert [await guests.next_in(), await guests.next_in()] == ["slow", "other"]
    slow.cancel()
    other.cancel()


async def test_a_place_is_given_back_once() -> None:
    slots = TurnSlots(at_once=1, longest_s=FOR_EVER)
    with await slots.enter("ada") as place:
        place.leave()
        place.leave()
    guests = Guests(slots)
    tasks = [guests.ask(name) for name in "ab"]
    assert await guests.next_in() == "a"
    await asyncio.sleep(0)
    assert guests.came.empty()
    for task in tasks:
        task.cancel()


async def test_who_gives_up_waiting_is_passed_over() -> None:
    guests = Guests(TurnSlots(at_once=1, longest_s=FOR_EVER))
    first, second, third = (guests.ask(name) for name in "abc")
    assert await guests.next_in() == "a"
    second.cancel()
    with suppress(asyncio.CancelledError):
        await second
    guests.leaves["a"].set()
    assert await guests.next_in() == "c"
    first.cancel()
    third.cancel()
