"""Readers of a run get every event once, from memory or from the database, here or in another process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.engine import URL

from core.signals import Signals
from core.signals.signals import NoRelay
from graph.db.database import opened_database
from graph.runs.events import LoggedEvent, store, topic_of
from graph.runs.record import Run
from graph.runs.streams import Follower
from tests.unit.graph.run_kit import ADA, Desk, going, new_run


class Reading:
    """A reader in a task of its own."""

    def __init__(self, follower: Follower, run_id: str, after: int = 0) -> None:
        self.found: list[LoggedEvent] = []
        self._news = asyncio.Event()
        self.task = asyncio.create_task(self._read(follower, run_id, after))

    async def _read(self, follower: Follower, run_id: str, after: int) -> None:
        async for found in follower.read(run_id, after):
            self.found += found
            self._news.set()

    @property
    def seqs(self) -> list[int]:
        return [entry.seq for entry in self.found]

    @property
    def text(self) -> str:
        return "".join(e.event["delta"] for e in self.found if e.event["type"] == "token")

    async def until(self, seq: int) -> None:
        async with asyncio.timeout(10):
            while not self.found or self.found[-1].seq < seq:
                self._news.clear()
                await self._news.wait()

    async def ended(self) -> Reading:
        await asyncio.wait_for(self.task, 10)
        return self


class Place:
    """One process: its live runs, and a follower on the database."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.live: dict[str, Run] = {}
        self.signals = Signals(NoRelay("these tests have one process"))
        self.follower = Follower(self.live, desk.events, desk.lookup, self.signals)

    def read(self, run_id: str, after: int = 0) -> Reading:
        return Reading(self.follower, run_id, after)

    async def begun(self, text: str = "hello", **wishes: Any) -> Run:
        run = await self.desk.begun(text, **wishes)
        self.live[run.id] = run
        return run

    async def stored(self, run: Run) -> None:
        """What the writer does."""
        entries = run.log.unstored()
        async with self.desk.engine.begin() as db:
            await store(db, run.thread_id, entries)
        run.log.stored(entries[-1].seq)
        run.log.extend(entries[-1].seq + 100)
        self.signals.send(topic_of(run.id))

    async def end(self, run: Run, status: str = "done", **more: Any) -> None:
        """What an ending does."""
        last = run.log.numbered({"type": "done", "status": status})
        await self.desk.end(run, status, events=[*run.log.unstored(), last], **more)
        run.log.publish(last)
        self.live.pop(run.id, None)
        self.signals.send(topic_of(run.id))


def say(run: Run, *texts: str) -> None:
    for text in texts:
        run.log.add({"type": "token", "delta": text})


@pytest.fixture
async def desk(database: URL) -> AsyncIterator[Desk]:
    async with opened_database(database) as engine:
        yield Desk.at(engine)


@pytest.fixture
def here(desk: Desk) -> Place:
    return Place(desk)


async def test_a_run_that_goes_on_here_is_read_from_memory_to_its_end(here: Place) -> None:
    run = await here.begun()
    say(run, "a", "b")
    reading = here.read(run.id)
    await reading.until(2)
    say(run, "c")
    await here.end(run)
    assert (await reading.ended()).seqs == [1, 2, 3, 4]


async def test_a_run_that_has_ended_is_replayed_and_the_replay_ends(here: Place) -> None:
    run = await here.begun()
    say(run, "a", "b")
    await here.end(run)
    assert (await here.read(run.id).ended()).seqs == [2, 3]
    assert (await here.read(run.id, 1).ended()).text == "b"
    assert (await here.read(run.id, 3).ended()).seqs == []
    assert (await here.read(run.id, 99).ended()).seqs == []


async def test_a_run_that_is_not_there_tells_nothing(here: Place) -> None:
    assert (await here.read("made-up").ended()).seqs == []


async def test_a_reader_that_fell_behind_reads_on_from_the_database_without_gap_or_repeat(
    here: Place,
) -> None:
    run = await here.begun()
    say(run, "0")
    reader = here.follower.read(run.id)
    (first,) = await anext(reader)
    said = [f"{n} " * 200 for n in range(900)]
    for start in range(0, 900, 90):
        say(run, *said[start : start + 90])
        await here.stored(run)
    assert run.log.floor > first.seq
    say(run, "the end")
    await here.end(run)
    found = [entry async for entries in reader for entry in entries]
    assert "".join(e.event["delta"] for e in found if e.event["type"] == "token") == "".join(
        [*said, "the end"]
    )
    seqs = [entry.seq for entry in found]
    assert seqs == sorted(set(seqs))
    assert seqs[-1] == 903


async def test_what_leaves_memory_while_a_reader_looks_into_the_database_is_not_skipped(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = await here.begun()
    say(cut, "one ")
    await here.stored(cut)
    here.live.clear()
    await here.desk.expire()
    claim = await here.desk.claims.orphan_of("t")
    assert claim is not None
    run = going(claim)
    here.live[run.id] = run
    say(run, *(f"{n} " * 200 for n in range(900)))
    read = here.desk.events.read
    looked = 0

    async def slow(run_id: str, after: int, **more: Any) -> list[LoggedEvent]:
        nonlocal looked
        looked += 1
        found = await read(run_id, after, **more)
        if looked == 3:  # nothing new was there; before that is known, everything is stored and leaves memory
            await here.stored(run)
        return found

    monkeypatch.setattr(here.desk.events, "read", slow)
    reading = here.read(run.id)
    await reading.until(run.log.last)
    await here.end(run)
    await reading.ended()
    assert reading.text == "one " + "".join(f"{n} " * 200 for n in range(900))


async def test_a_run_of_another_process_is_followed_by_what_it_stores(here: Place, desk: Desk) -> None:
    there = Place(desk)
    run = await there.begun()
    reading = here.read(run.id)
    for text in ("a", "b", "c"):
        say(run, text)
        await there.stored(run)
        here.signals.send(topic_of(run.id))  # as another process is told
        await reading.until(run.log.last)
    await there.end(run)
    here.signals.send(topic_of(run.id))
    assert (await reading.ended()).text == "abc"
    assert reading.found[-1].event["type"] == "done"


async def test_a_signal_that_got_lost_costs_only_time(
    here: Place, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.runs.streams.LOOK_AGAIN_SECONDS", 0.01)
    there = Place(desk)
    run = await there.begun()
    reading = here.read(run.id)
    say(run, "a")
    await there.stored(run)
    await reading.until(1)
    await there.end(run)
    assert (await reading.ended()).seqs == [1, 2]


async def test_a_queued_run_is_waited_for(here: Place) -> None:
    first = await here.begun("one")
    waiting = await here.desk.ledger.open(new_run("two", on_busy="enqueue"))
    reading = here.read(waiting.record.id)
    await here.end(first)
    claim = await here.desk.claims.next_of("t")
    assert claim is not None
    run = going(claim)
    here.live[run.id] = run
    here.signals.send(topic_of(run.id))
    say(run, "a")
    await reading.until(1)
    await here.end(run)
    assert (await reading.ended()).seqs == [1, 2]


async def test_a_reader_of_a_run_that_waits_for_a_person_comes_back_for_what_follows_the_answer(
    here: Place,
) -> None:
    run = await here.begun()
    say(run, "may I? ")
    await here.end(run, "interrupted", thread_status="interrupted", reason="person", waiting=[{"id": "i"}])
    asked = await here.read(run.id).ended()
    assert asked.found[-1].event["status"] == "interrupted"

    again = going(await here.desk.ledger.reopen(ADA, run.id, {"i": {"approve": True}}))
    here.live[again.id] = again
    reading = here.read(run.id, asked.seqs[-1])
    say(again, "thanks")
    await reading.until(again.log.last)
    await here.end(again)
    await reading.ended()
    assert reading.text == "thanks"
    assert min(reading.seqs) > asked.seqs[-1]
    whole = await here.read(run.id).ended()
    assert whole.text == "may I? thanks"
    assert whole.seqs == sorted(set(whole.seqs))


async def test_when_the_thread_is_lost_readers_follow_the_process_that_has_it(
    here: Place, desk: Desk
) -> None:
    old = await here.begun(policy="resume")
    say(old, "one ")
    await here.stored(old)
    say(old, "never stored")
    reading = here.read(old.id)
    await reading.until(2)
    other = Desk.at(desk.engine)
    await desk.expire()
    claim = await other.claims.orphan_of("t")
    assert claim is not None
    there = Place(other)
    run = going(claim)
    there.live[run.id] = run
    old.stop("lost")
    await asyncio.sleep(0)
    here.live.clear()
    say(run, "two")
    await there.stored(run)
    here.signals.send(topic_of(run.id))
    await reading.until(run.log.last)
    await there.end(run)
    here.signals.send(topic_of(run.id))
    await reading.ended()
    assert reading.seqs[-2:] == [1001, 1002]


async def test_a_lost_run_that_has_not_ended_yet_holds_nobody_up(here: Place) -> None:
    run = await here.begun()
    reading = here.read(run.id)
    say(run, "a")
    await reading.until(1)
    run.log.abandon()
    # It stays among the live ones until its task has ended: a reader must not turn in circles meanwhile.
    for _ in range(20):
        await asyncio.sleep(0)
    assert not reading.task.done()
    here.follower.closing = True
    here.signals.wake_all()
    await reading.ended()


async def test_a_service_that_stops_lets_readers_go(here: Place, desk: Desk) -> None:
    run = await Place(desk).begun()
    reading = here.read(run.id)
    await asyncio.sleep(0)
    here.follower.closing = True
    here.signals.wake_all()
    assert (await reading.ended()).seqs == []


async def test_a_draining_service_waits_for_its_readers_but_not_for_ever(here: Place, desk: Desk) -> None:
    run = await Place(desk).begun()
    reading = here.read(run.id)
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await here.follower.left(seconds=0.01)
    leaving = asyncio.create_task(here.follower.left(seconds=60))
    here.follower.closing = True
    here.signals.wake_all()
    await reading.ended()
    await asyncio.wait_for(leaving, 5)
