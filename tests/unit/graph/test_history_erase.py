"""Delete really deletes, on each database: proved by raw SQL and by the file store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from langgraph.types import Command
from sqlalchemy import text, update
from sqlalchemy.engine import URL

from core.database.engine import is_sqlite
from graph.db.tables import threads
from graph.errors import ThreadBusy, ThreadNotFound
from graph.threads.history.owning import hidden
from graph.threads.housekeeping import ThreadUpkeep
from nodes.file_storage import FileManager, FileNotFound, StorageUnavailable
from tests.unit.graph.history_kit import ADA, BOB, World, opened_world

pytestmark = pytest.mark.slow


@pytest.fixture
async def world(database: URL) -> AsyncIterator[World]:
    async with opened_world(database) as world:
        yield world


async def lived(world: World, thread: str = "t") -> str:
    """A thread with everything that a thread can have; the key of its tool's file."""
    await world.say(thread, "a zanzibar of words")
    await world.say(thread, "calc")
    await world.run_of(thread, f"r_{thread}")
    info = await world.files.put(ADA, "chart.png", b"png", origin="tool", thread=thread)
    file = {**info.as_ref(), "thread": thread}
    async with world.leases.borrow(thread):
        config = {"configurable": {"thread_id": thread}}
        await world.graph.aupdate_state(config, {"files": [file]}, as_node="store_files")
    return info.key


async def test_nothing_of_a_deleted_thread_is_left(world: World) -> None:
    key = await lived(world)
    kept = await lived(world, "other")
    upload = await world.files.put(ADA, "mine.txt", b"mine", thread="t")
    other = await world.rows_of("other")
    assert {"threads", "transcript", "runs", "run_events", "receipts", "checkpoints"} < other.keys()
    assert (await world.rows_of("t")).keys() == other.keys()

    await world.threads.delete(ADA, "t")
    assert await world.rows_of("t") == {}
    assert await world.threads.search(ADA, "zanzibar") == [
        hit for hit in await world.threads.search(ADA, "zanzibar") if hit["thread_id"] == "other"
    ]
    with pytest.raises(FileNotFound):
        await world.files.info(ADA, key)
    with pytest.raises(ThreadNotFound):
        await world.threads.delete(ADA, "t")

    assert await world.rows_of("other") == other
    assert (await world.files.info(ADA, kept)).thread == "other"
    assert (await world.files.info(ADA, upload.key)).name == "mine.txt"


async def test_no_word_of_it_stays_in_the_index(world: World) -> None:
    if not is_sqlite(world.engine):
        return  # PostgreSQL's index knows rows and no words of its own
    await lived(world)
    count = text("SELECT count(*) FROM transcript_words_data WHERE instr(block, 'zanzibar') > 0")
    async with world.engine.connect() as db:
        assert (await db.execute(count)).scalar()
    await world.threads.delete(ADA, "t")
    await world.threads.eraser.sweep(time.time())
    async with world.engine.connect() as db:
        assert (await db.execute(count)).scalar() == 0


async def test_a_thread_with_a_run_is_busy(world: World) -> None:
    await lived(world)
    async with world.leases.borrow("t"):
        with pytest.raises(ThreadBusy):
            await world.threads.delete(ADA, "t")
    await world.run_of("t", "r_queued", status="queued", ended_at=None)
    with pytest.raises(ThreadBusy):
        await world.threads.delete(ADA, "t")
    assert (await world.threads.get(ADA, "t"))["turns"] == 2


async def test_one_that_waits_for_a_person_can_be_deleted(world: World) -> None:
    await world.say("t", "ask")
    await world.run_of("t", "r_1", status="interrupted", ended_at=None)
    await world.threads.delete(ADA, "t")
    assert await world.rows_of("t") == {}


async def test_somebody_elses_thread_is_not_there(world: World) -> None:
    await lived(world)
    with pytest.raises(ThreadNotFound):
        await world.threads.delete(BOB, "t")
    assert (await world.rows_of("t"))["threads"] == 1


class Failing:
    """File storage that fails at one call."""

    def __init__(self, files: FileManager, call: str) -> None:
        self._files, self._call = files, call

    def __getattr__(self, name: str) -> object:
        if name == self._call:
            self._call = ""
            raise StorageUnavailable("the folder for files cannot be used")
        return getattr(self._files, name)


@pytest.mark.parametrize("call", ["list", "delete"])
@pytest.mark.parametrize("again", ["delete", "sweep"])
async def test_what_stops_in_the_middle_is_hidden_and_finished_later(
    database: URL, call: str, again: str
) -> None:
    async with opened_world(database) as world:
        key = await lived(world)
        world.threads.eraser._files = Failing(world.files, call)  # type: ignore[assignment]
        with pytest.raises(StorageUnavailable):
            await world.threads.delete(ADA, "t")
        with pytest.raises(ThreadNotFound):
            await world.threads.get(ADA, "t")
        assert await world.threads.list(ADA) == []
        assert await world.threads.search(ADA, "zanzibar") == []
        with pytest.raises(ThreadNotFound):  # its id stays taken until nothing of it is left
            await world.threads.create(ADA, thread_id="t")

        if again == "delete":
            await world.threads.delete(ADA, "t")
        else:
            assert await world.threads.eraser.sweep(time.time() - 60) == 0
            assert await world.threads.eraser.sweep(time.time() + 1) == 1
        assert await world.rows_of("t") == {}
        with pytest.raises(FileNotFound):
            await world.files.info(ADA, key)
        assert (await world.threads.create(ADA, thread_id="t"))["turns"] == 0


async def test_rows_that_came_too_late_are_swept_and_others_stay(world: World) -> None:
    await lived(world)
    await lived(world, "other")
    other = await world.rows_of("other")
    async with world.engine.begin() as db:
        await db.execute(threads.delete().where(threads.c.id == "t"))
    assert await world.rows_of("t")
    await world.threads.eraser.sweep(time.time())
    assert await world.rows_of("t") == {}
    assert await world.rows_of("other") == other


async def test_two_that_delete_at_once_both_end_well(world: World) -> None:
    await lived(world)
    await asyncio.gather(*(world.threads.delete(ADA, "t") for _ in range(3)), return_exceptions=True)
    assert await world.rows_of("t") == {}


@pytest.mark.parametrize("first", ["t", "fork"])
async def test_a_file_goes_with_the_last_thread_that_needs_it(world: World, first: str) -> None:
    key = await lived(world)
    fork = (await world.threads.fork(ADA, "t"))["id"]
    again = (await world.threads.fork(ADA, fork))["id"]
    if first == "fork":
        # What the step `store_files` does at the fork's next turn.
        await world.files.attach(ADA, key, fork)
    order = ["t", fork, again] if first == "t" else [fork, "t", again]
    for thread in order[:2]:
        await world.threads.delete(ADA, thread)
        assert (await world.files.info(ADA, key)).size == 3
    await world.threads.delete(ADA, again)
    with pytest.raises(FileNotFound):
        await world.files.info(ADA, key)
    for thread in order:
        assert await world.rows_of(thread) == {}


async def test_old_threads_are_found_unless_they_have_a_run_or_are_going(world: World) -> None:
    upkeep = ThreadUpkeep(world.engine, world.threads)
    for name in ("old", "queued", "going", "new"):
        await world.threads.create(ADA, thread_id=name)
    await world.run_of("queued", "r_1", status="queued", ended_at=None)
    async with world.engine.begin() as db:
        await db.execute(update(threads).where(threads.c.id != "new").values(updated_at=1.0))
        await db.execute(update(threads).where(threads.c.id == "going").values(owner=hidden("ada")))
    assert await upkeep.unused(100.0, limit=10) == [(ADA, "old")]


async def test_what_ended_runs_told_is_forgotten_and_their_rows_stay(world: World) -> None:
    upkeep = ThreadUpkeep(world.engine, world.threads)
    for name in ("clean", "torn"):
        await world.threads.create(ADA, thread_id=name)
    await world.run_of("clean", "r_old")
    await world.run_of("clean", "r_new", ended_at=500.0)
    await world.run_of("clean", "r_waits", status="interrupted", ended_at=2.0)
    await world.run_of("torn", "r_torn", status="failed")
    async with world.engine.begin() as db:
        await db.execute(update(threads).where(threads.c.id == "torn").values(dirty=True))
    await upkeep.forget_runs(100.0)
    clean, torn = await world.rows_of("clean"), await world.rows_of("torn")
    assert (clean["runs"], clean["run_events"], clean["receipts"]) == (3, 2, 2)
    # An unfinished turn is settled from its receipts at the next message, whenever that comes.
    assert (torn["runs"], torn.get("run_events"), torn["receipts"]) == (1, None, 1)


async def test_a_forks_question_outlives_its_original(world: World) -> None:
    await world.say("t", "ask")
    fork = (await world.threads.fork(ADA, "t"))["id"]
    await world.threads.delete(ADA, "t")
    await world.say(fork, Command(resume=True))
    assert (await world.texts(fork))[-1] == "re: ask ok"
