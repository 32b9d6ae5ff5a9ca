"""A task may go on while what it has promised is on its way; whoever does or tells something waits for it."""

from __future__ import annotations

import asyncio

import pytest

from core.database.promises import kept, open_promises, promising, when_kept


class Disk:
    """Something that is written when somebody says so."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.cut = False

    async def write(self) -> None:
        try:
            await asyncio.shield(self.done)
        except asyncio.CancelledError:
            self.cut = True
            raise


async def turns(loops: int = 5) -> None:
    for _ in range(loops):
        await asyncio.sleep(0)


async def test_who_waits_for_a_promise_goes_on_when_it_is_kept() -> None:
    disk, told = Disk(), list[str]()
    async with promising() as promises:
        promises.add(disk.write())
        when_kept(told.append, "call")
        waiting = asyncio.create_task(kept())
        await turns()
        assert not told
        assert not waiting.done()
        disk.done.set_result(None)
        await waiting
        assert told == ["call"]
        when_kept(told.append, "more")
        assert told == ["call", "more"], "nothing is open any more"


async def test_a_block_ends_when_all_of_its_promises_are_kept() -> None:
    first, second = Disk(), Disk()

    async def block() -> None:
        async with promising() as promises:
            promises.add(first.write())
            promises.add(second.write())

    ending = asyncio.create_task(block())
    second.done.set_result(None)
    await turns()
    assert not ending.done()
    first.done.set_result(None)
    await ending


async def test_what_hangs_on_several_promises_is_told_once_behind_the_last() -> None:
    first, second, told = Disk(), Disk(), list[str]()
    async with promising() as promises:
        promises.add(first.write())
        promises.add(second.write())
        when_kept(told.append, "call")
        second.done.set_result(None)
        await turns()
        assert not told
        first.done.set_result(None)
    assert told == ["call"]


async def test_a_promise_that_fails_is_told_to_everybody_who_waits_and_what_hangs_on_it_to_nobody() -> None:
    disk, told = Disk(), list[str]()

    async def block() -> None:
        async with promising() as promises:
            promises.add(disk.write())
            when_kept(told.append, "call")
            disk.done.set_exception(ValueError("full"))
            for _ in range(2):
                with pytest.raises(ValueError, match="full"):
                    await kept()

    with pytest.raises(ValueError, match="full"):
        await block()
    assert not told


async def test_a_block_that_fails_waits_for_what_is_on_its_way_and_keeps_its_own_error() -> None:
    disk = Disk()

    async def block() -> None:
        async with promising() as promises:
            promises.add(disk.write())
            raise KeyError("model")

    ending = asyncio.create_task(block())
    await turns()
    assert not ending.done()
    disk.done.set_result(None)
    with pytest.raises(KeyError):
        await ending
    assert not disk.cut


async def test_a_block_that_is_cut_gives_up_what_is_on_its_way() -> None:
    disk, begun = Disk(), asyncio.Event()

    async def block() -> None:
        async with promising() as promises:
            promises.add(disk.write())
            begun.set()
            await asyncio.Event().wait()

    ending = asyncio.create_task(block())
    await begun.wait()
    await turns()
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert disk.cut


async def test_outside_of_a_block_nothing_is_open() -> None:
    told: list[str] = []
    assert open_promises() is None
    await kept()
    when_kept(told.append, "at once")
    assert told == ["at once"]
