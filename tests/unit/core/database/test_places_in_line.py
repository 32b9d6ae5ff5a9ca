"""Who is under way goes before those that begin, and what nobody waits for makes no line longer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Event
from typing import Any

from core.database import writer as writers
from core.database.units import Fence, Unit
from core.database.writer import AT_MOST, BEGUN_AT_ONCE, Entry, Line, Writer
from core.errors import Conflict
from tests.kit.patience import A_BUSY_MACHINE_S

HUNDREDS = 4 * AT_MOST


def fence(key: str) -> Fence:
    return Fence(key, 1, lambda: Conflict(f"thread '{key}' was taken over"))


def entry(unit: Unit) -> Entry:
    return Entry(unit, asyncio.get_running_loop().create_future(), [])


class Noting:
    """A connection that notes what it commits; its first commit ends when it is told to."""

    connections = 1

    def __init__(self) -> None:
        self.groups: list[list[Entry]] = []
        self.goes_on = Event()
        self.begun = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def commit(self, entries: Sequence[Entry]) -> list[Any]:
        self.groups.append(list(entries))
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self.goes_on.wait(A_BUSY_MACHINE_S)
        return [None] * len(entries)

    def close(self) -> None:
        """There is nothing to close."""


async def test_a_turn_under_way_stands_before_hundreds_that_came_earlier_and_begin() -> None:
    line, step = Line(), entry(Unit(fence("t")))
    begun = [entry(Unit(begins=True)) for _ in range(HUNDREDS)]
    for each in [*begun, step]:
        line.add(each)
    assert line.group() == [step, *begun[:BEGUN_AT_ONCE]]
    assert line.group() == begun[BEGUN_AT_ONCE : 2 * BEGUN_AT_ONCE]


async def test_some_of_those_that_begin_go_with_each_group_however_many_are_under_way() -> None:
    line = Line()
    steps = [entry(Unit(fence(f"t{n}"))) for n in range(HUNDREDS)]
    begins = entry(Unit(begins=True))
    for each in [*steps, begins]:
        line.add(each)
    assert line.group() == [*steps[: AT_MOST - 1], begins]
    assert line.left() == steps[AT_MOST - 1 :]
    assert not line.left()


async def test_what_hurries_stands_before_all_and_behind_what_its_holder_has_in_the_line() -> None:
    line, own = Line(), entry(Unit(fence("t")))
    steps = [entry(Unit(fence(f"t{n}"))) for n in range(HUNDREDS)]
    begins = entry(Unit(begins=True))
    for each in [*steps, begins, own]:
        line.add(each)
    wish, end = entry(Unit(hurries=True)), entry(Unit(fence("t"), hurries=True))
    line.add(wish)
    line.add(end)
    assert line.next_of(fence("t")) is own
    assert line.group() == [wish, own, end, *steps[: AT_MOST - 4], begins]


async def test_more_that_hurry_than_a_group_holds_keep_their_order() -> None:
    line, ends = Line(), [entry(Unit(hurries=True)) for _ in range(AT_MOST + 1)]
    begins = entry(Unit(begins=True))
    for each in [begins, *ends]:
        line.add(each)
    assert line.group() == [*ends[: AT_MOST - 1], begins]
    assert line.without(ends[-1])
    assert line.left() == [ends[AT_MOST - 1]]


async def test_who_gives_up_leaves_the_line_wherever_it_stands() -> None:
    line, step, begins = Line(), entry(Unit(fence("t"))), entry(Unit(begins=True))
    line.add(step)
    line.add(begins)
    assert [line.without(each) for each in (begins, step, step)] == [True, True, False]
    assert len(line) == 0


async def test_what_nobody_waits_for_stands_in_no_long_line_and_goes_with_its_holders_next_step() -> None:
    connection = Noting()
    writer, mine = Writer(connection), Unit(fence("t"))
    waiting = [asyncio.create_task(writer.write(Unit(begins=True))) for _ in range(HUNDREDS)]
    await connection.begun.wait()
    writer.later(mine)
    writer._flush_when_calm()
    step = asyncio.create_task(writer.write(Unit(fence("t"))))
    connection.goes_on.set()
    await asyncio.gather(step, *waiting)
    await writer.aclose()
    (taken,) = [each for group in connection.groups for each in group if each.unit.fence]
    assert taken.earlier == [mine]
    assert taken in connection.groups[1]


async def test_what_nobody_waits_for_is_put_off_only_so_often() -> None:
    connection = Noting()
    writer, mine = Writer(connection), Unit(fence("t"))
    waiting = [asyncio.create_task(writer.write(Unit(begins=True))) for _ in range(HUNDREDS)]
    await connection.begun.wait()
    writer.later(mine)
    for _ in range(writers._PUT_OFF + 1):
        assert writer._later
        writer._flush_when_calm()
    assert not writer._later
    connection.goes_on.set()
    await asyncio.gather(*waiting)
    await writer.stored("t")
    await writer.aclose()
    (taken,) = [each for group in connection.groups for each in group if each.unit.fence]
    assert (taken.earlier, taken.is_promise) == ([mine], False)
