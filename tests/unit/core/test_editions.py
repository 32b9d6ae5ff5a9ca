"""Editions of the configuration: swapped whole or not at all, and kept by whoever holds one."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from core.errors import ConfigInvalid
from core.settings import Book, Strict
from core.settings.book import Edition, Editions, Part
from waystation.testing.mcp_servers import until


class Hats(Strict):
    colour: str = "red"


class Box:
    """A value that knows whether it was closed."""

    def __init__(self, colour: str) -> None:
        self.colour = colour
        self.closed = False


def book(colour: str) -> Book:
    first = Editions.fixed(Hats()).newest.book
    return replace(first, values={Hats: Hats(colour=colour)})


async def boxed(read: Book, _: Box | None) -> Box:
    return Box(read[Hats].colour)


async def first_come(read: Book, before: Box | None) -> Box:
    return before or Box(read[Hats].colour)


async def close(box: Box) -> None:
    box.closed = True


async def no_hats(read: Book, _: Box | None) -> Box:
    await asyncio.sleep(0)
    if read[Hats].colour == "none":
        raise ConfigInvalid("hats.colour: there is no colour 'none'")
    return Box(read[Hats].colour)


async def settled(editions: Editions) -> None:
    await editions.aclose()


async def test_a_swap_gives_every_part_a_new_value() -> None:
    async with Editions(book("red")) as editions, editions.part("a", boxed) as part:
        assert part.now.colour == "red"
        edition = await editions.swap(book("blue"))
        assert (edition.number, editions.now(), part.now.colour) == (2, edition, "blue")


async def test_who_holds_an_edition_keeps_it_and_so_do_the_tasks_made_there() -> None:
    async with Editions(book("red")) as editions, editions.part("a", boxed) as part:
        part.on_change(retired=close)
        first = part.now

        async def colour() -> str:
            return part.now.colour

        with editions.hold():
            await editions.swap(book("blue"))
            assert await asyncio.create_task(colour()) == "red"
            assert await asyncio.to_thread(lambda: part.now.colour) == "red"
            assert [box.colour for box in part.living()] == ["red", "blue"]
        assert part.now.colour == "blue"
        await settled(editions)
        assert first.closed
        assert [box.colour for box in part.living()] == ["blue"]


async def test_an_edition_lives_until_its_last_holder_is_done() -> None:
    async with Editions(book("red")) as editions, editions.part("a", boxed) as part:
        part.on_change(retired=close)
        first, ends = part.now, [asyncio.Event() for _ in range(3)]

        async def turn(end: asyncio.Event) -> str:
            await end.wait()
            return part.now.colour

        turns = [editions.task(turn(end), name="turn") for end in ends]
        await editions.swap(book("blue"))
        for end, task in zip(ends, turns, strict=True):
            await settled(editions)
            assert not first.closed
            end.set()
            assert await task == "red"
        await settled(editions)
        assert first.closed


async def test_a_task_takes_over_the_edition_that_is_held_where_it_is_made() -> None:
    async with Editions(book("red")) as editions:

        async def number() -> int:
            return editions.now().number

        with editions.hold():
            await editions.swap(book("blue"))
            task = editions.task(number(), name="turn")
        assert await task == 1
        cancelled = editions.task(number(), name="never starts")
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert editions.newest.holders == 0


async def test_a_task_that_outlives_its_turn_sees_the_newest_edition() -> None:
    async with Editions(book("red")) as editions:
        go = asyncio.Event()

        async def later() -> int:
            await go.wait()
            return editions.now().number

        with editions.hold():
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
        await editions.swap(book("blue"))
        go.set()
        assert await task == 2


async def test_a_part_that_refuses_leaves_everything_as_it_was_and_closes_what_was_made() -> None:
    async with AsyncExitStack() as stack:
        editions = await stack.enter_async_context(Editions(book("red")))
        made: list[Box] = []

        async def remembered(read: Book, before: Box | None) -> Box:
            made.append(await boxed(read, before))
            return made[-1]

        part = await stack.enter_async_context(editions.part("a", remembered))
        part.on_change(retired=close)
        other = await stack.enter_async_context(editions.part("b", no_hats))
        with pytest.raises(ConfigInvalid, match="no colour 'none'"):
            await editions.swap(book("none"))
        assert (editions.newest.number, part.now.colour, other.now.colour) == (1, "red", "red")
        assert [box.closed for box in made] == [False, True]
        await editions.swap(book("blue"))
        assert (editions.newest.number, part.now.colour, other.now.colour) == (2, "blue", "blue")


async def test_a_value_that_two_editions_share_is_not_closed_with_the_first() -> None:
    async with (
        Editions(book("red")) as editions,
        editions.part("a", first_come) as part,
    ):
        part.on_change(retired=close)
        await editions.swap(book("blue"))
        await settled(editions)
        assert part.now.colour == "red"
        assert not part.now.closed


async def test_swaps_at_the_same_time_come_one_after_the_other() -> None:
    async with Editions(book("red")) as editions, editions.part("a", no_hats) as part:
        found = await asyncio.gather(*(editions.swap(book(f"c{n}")) for n in range(10)))
        assert [edition.number for edition in found] == list(range(2, 12))
        assert part.now.colour == "c9"
        await settled(editions)
        assert len(part.living()) == 1


async def test_many_turns_and_swaps_never_mix_editions() -> None:
    async with (
        Editions(book("0")) as editions,
        editions.part("a", boxed) as one,
        editions.part("b", no_hats) as two,
    ):

        async def turn() -> None:
            with editions.hold() as edition:
                for _ in range(20):
                    await asyncio.sleep(0)
                    assert one.now.colour == two.now.colour == edition.book[Hats].colour

        turns = []
        for n in range(50):
            turns.append(asyncio.create_task(turn()))
            await editions.swap(book(str(n)))
        await asyncio.gather(*turns)
        await settled(editions)
        assert len(one.living()) == 1


async def test_a_listener_that_fails_stops_neither_the_swap_nor_the_other_listeners() -> None:
    async with Editions(book("red")) as editions, editions.part("a", boxed) as part:
        seen: list[str] = []

        def adopt_badly(_: Box) -> None:
            raise RuntimeError("no")

        async def retire_badly(_: Box) -> None:
            raise RuntimeError("no")

        part.on_change(adopted=adopt_badly, retired=retire_badly)
        part.on_change(adopted=lambda box: seen.append(box.colour), retired=close)
        first = part.now
        await editions.swap(book("blue"))
        await until(lambda: first.closed)
        assert seen == ["blue"]


async def test_a_part_that_is_added_late_has_a_value_in_older_editions_too() -> None:
    async with Editions(book("red")) as editions:
        with editions.hold():
            await editions.swap(book("blue"))
            async with editions.part("a", boxed) as part:
                assert part.now.colour == "blue"
        await settled(editions)


async def test_a_swap_that_is_cancelled_changes_nothing() -> None:
    started, never = asyncio.Event(), asyncio.Event()

    async def slow(_: Book, before: Box | None) -> Box:
        if before is not None:
            started.set()
            await never.wait()
        return Box("slow")

    async with Editions(book("red")) as editions, editions.part("a", slow):
        swap = asyncio.create_task(editions.swap(book("blue")))
        await started.wait()
        swap.cancel()
        await asyncio.wait([swap])
        assert editions.newest.number == 1
        assert swap.cancelled()


async def test_a_fixed_part_is_for_those_who_have_no_editions() -> None:
    part = Part.of(Box("red"))
    same: Part[Box] = Part.of(part)
    assert same is part
    assert [box.colour for box in (part.now, *part.living())] == ["red", "red"]
    editions = Editions.fixed(Hats(colour="green"))
    assert isinstance(editions.now(), Edition)
    assert editions.now().book[Hats].colour == "green"
    other = Editions.fixed(Hats())
    with editions.hold():
        assert other.now().book[Hats].colour == "red"
