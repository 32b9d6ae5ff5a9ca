"""Events are written a little behind the turns that tell them, and only by whoever holds the thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from core.signals import Signals
from core.signals.signals import NoRelay
from graph.db.database import opened_database
from graph.runs.events import topic_of
from graph.runs.record import SEQ_BLOCK, Run
from graph.runs.streams import EventWriter
from tests.kit.event_logs import reading_of
from tests.unit.graph.run_kit import Desk, FailingGroup

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.runs.streams.BEHIND_SECONDS", 0.001)
    monkeypatch.setattr("graph.runs.streams.AGAIN_SECONDS", 0.001)


@pytest.fixture
async def desk(database: URL) -> AsyncIterator[Desk]:
    async with opened_database(database) as engine:
        yield Desk.at(engine)


class Written(NoRelay):
    """A writer, and an ear for what it has written."""

    def __init__(self, desk: Desk) -> None:
        super().__init__("these tests have one process")
        self.told: list[str] = []
        self._news = asyncio.Event()
        self.writer = EventWriter(desk.engine, Signals(self))

    def send(self, topic: str) -> None:
        self.told.append(topic.removeprefix(topic_of("")))
        self._news.set()

    def say(self, run: Run, *texts: str) -> None:
        for delta in texts:
            run.log.add({"type": "token", "delta": delta})
            self.writer.behind(run)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._news.clear()
                await self._news.wait()


async def test_many_runs_are_written_and_each_is_told_of(desk: Desk) -> None:
    runs = [await desk.begun(thread=f"t{n}") for n in range(20)]
    written = Written(desk)
    async with written.writer.running():
        for run in runs:
            written.say(run, "a", "b")
        await written.until(lambda: set(written.told) == {run.id for run in runs})
    for run in runs:
        (entry,) = await desk.events.read(run.id, 0)
        assert (entry.seq, entry.event["delta"]) == (2, "ab")
        assert run.log.unstored() == []


async def test_numbers_are_reserved_before_they_run_out(desk: Desk) -> None:
    run = await desk.begun()
    written = Written(desk)
    async with written.writer.running():
        written.say(run, "a")
        await written.until(lambda: written.told == [run.id])
        assert (await desk.run(run.id))["seq_limit"] == SEQ_BLOCK
        few = SEQ_BLOCK + SEQ_BLOCK // 3  # so many that all of them stay in memory
        written.say(run, *"x" * few)
        seqs = []
        async with asyncio.timeout(60):
            async for entry in reading_of(run.log):
                seqs.append(entry.seq)
                assert entry.seq <= (await desk.run(run.id))["seq_limit"]
                if entry.seq == few + 1:
                    break
    assert seqs == list(range(1, few + 2))


async def test_whoever_lost_the_thread_writes_nothing_and_is_stopped(desk: Desk) -> None:
    run, other = await desk.begun(), await desk.begun(thread="u")
    await desk.expire()
    await Desk.at(desk.engine).begun("mine now")
    written = Written(desk)
    async with written.writer.running():
        written.say(run, "too late")
        written.say(other, "fine")
        await written.until(lambda: written.told == [other.id])
    assert (run.stopped, run.log.abandoned) == ("lost", True)
    assert [entry.event["type"] for entry in await desk.events.read(run.id, 0)] == ["done"]


async def test_after_a_fault_of_the_database_nothing_is_missing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await desk.begun()
    fault = FailingGroup(desk.engine, 2, monkeypatch)
    written = Written(desk)
    async with written.writer.running():
        written.say(run, "a", "b")
        await written.until(lambda: run.log.unstored() == [] and bool(written.told))
        written.say(run, "c")
        await written.until(lambda: len(written.told) == 2)
    assert fault.times == 0
    assert "".join(entry.event["delta"] for entry in await desk.events.read(run.id, 0)) == "abc"


async def test_an_ending_takes_over_what_is_not_written_yet(desk: Desk) -> None:
    run = await desk.begun()
    written = Written(desk)
    async with written.writer.running():
        written.say(run, "a")
        run.ending = True
        rest = await written.writer.rest(run)
        assert [entry.seq for entry in rest] == [1]
        written.say(await desk.begun(thread="u"), "b")
        await written.until(lambda: bool(written.told))
    assert await desk.events.read(run.id, 0) == []


async def test_an_ending_waits_for_none_but_its_own_rows_on_their_way(desk: Desk) -> None:
    mine, other = await desk.begun(), await desk.begun(thread="u")
    written = Written(desk)
    async with written.writer._writing:  # rows of another run are being written, and that takes its time
        written.writer._on_way = {other.id}
        written.say(mine, "a")
        async with asyncio.timeout(10):
            assert [entry.seq for entry in await written.writer.rest(mine)] == [1]
        waiting = asyncio.create_task(written.writer.rest(other))
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting == []


@pytest.mark.parametrize("steps", range(0, 30, 2))
async def test_an_ending_and_the_writer_never_write_the_same_event(desk: Desk, steps: int) -> None:
    run = await desk.begun()
    written = Written(desk)
    async with written.writer.running():
        written.say(run, "a")
        writing = asyncio.create_task(written.writer._write([run]))
        for _ in range(steps):
            await asyncio.sleep(0)
        run.ending = True
        rest = await written.writer.rest(run)
        last = run.log.numbered({"type": "done"})
        await desk.end(run, events=[*rest, last])
        await writing
    assert [entry.seq for entry in await desk.events.read(run.id, 0)] == [1, 2]


async def test_what_was_stored_and_told_as_failed_is_stored_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await desk.begun()
    fault = FailingGroup(desk.engine, 2, monkeypatch, stores=True)
    written = Written(desk)
    async with written.writer.running():
        written.say(run, "a", "b")
        await fault.until(1)
        written.say(run, "c", "d")  # in the same row as the others, if nobody knew of these
        await fault.until(0)
        written.say(run, "e")
        run.ending = True
        entries = await written.writer.rest(run)
        await desk.end(run, events=entries)
    told = await desk.events.read(run.id, 0)
    assert "".join(entry.event["delta"] for entry in told) == "abcde"
    assert await desk.events.text_of_run(run.id) == "abcde"


# What refuses rows of one run, in the words of each database.
_REFUSED = {
    "sqlite": "CREATE TRIGGER odd BEFORE INSERT ON run_events WHEN NEW.data LIKE '%odd%'"
    " BEGIN SELECT RAISE(ABORT, 'odd'); END",
    "postgresql": "ALTER TABLE run_events ADD CHECK (data NOT LIKE '%odd%')",
}


async def test_a_run_whose_events_cannot_be_stored_keeps_nobody_elses_from_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.runs.streams.AT_ONCE", 1)
    async with desk.engine.begin() as db:
        await db.execute(text(_REFUSED[desk.engine.dialect.name]))
    begun = [await desk.begun(thread=f"t{n}") for n in range(4)]
    odd, *others = sorted(begun, key=lambda run: run.id)  # it is written first
    written = Written(desk)
    async with written.writer.running():
        written.say(odd, "odd")
        for run in others:
            written.say(run, "fine")
        await written.until(lambda: set(written.told) == {run.id for run in others})
    assert [entry.event["delta"] for entry in odd.log.unstored()] == ["odd"]
