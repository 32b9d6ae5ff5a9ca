"""The one writer: what is handed over is committed in groups, in order, fenced, and never lost."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.database.outage import DatabaseUnavailable, answered_within
from core.database.units import Fence, Unit
from core.database.writer import Entry, Group, Writer
from graph.db.database import opened_database, writer_of
from graph.db.tables import worded
from graph.errors import LeaseLost
from graph.runs.lease import fence_of
from tests.kit.patience import A_BUSY_MACHINE_S
from tests.unit.graph.run_kit import Desk
from waystation.testing.postgres import PostgresServer

pytestmark = pytest.mark.slow

THREADS = ("t0", "t1", "t2")
_MARK = "INSERT INTO marks (place, thread, number) VALUES ((SELECT count(*) FROM marks), ?, ?)"
_ALL = text("SELECT thread, number FROM marks ORDER BY place")


class Watched:
    """A group that remembers what was committed together."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self.commits: list[int] = []

    def commit(self, entries: Sequence[Entry]) -> list[Any]:
        self.commits.append(len(entries))
        return self._group.commit(entries)

    def close(self) -> None:
        self._group.close()


@pytest.fixture
async def engine(database: URL) -> AsyncIterator[AsyncEngine]:
    async with opened_database(database) as engine:
        async with engine.begin() as db:
            await db.execute(text("CREATE TABLE marks (place INTEGER, thread TEXT, number INTEGER UNIQUE)"))
        yield engine


@pytest.fixture
def writer(engine: AsyncEngine) -> Writer:
    return writer_of(engine)


@pytest.fixture
def watched(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched(writer._group)
    monkeypatch.setattr(writer, "_group", watched)
    return watched


@pytest.fixture
async def fences(engine: AsyncEngine) -> dict[str, Fence]:
    """Threads that are held, each with its fence."""
    desk = Desk.at(engine)
    return {thread: fence_of((await desk.begun(thread=thread)).hold) for thread in THREADS}


def mark(engine: AsyncEngine, number: int, fence: Fence | None = None, thread: str = "") -> Unit:
    """A unit that leaves a row; the same number a second time is an error."""
    row = (fence.key if fence else thread, number)
    return Unit(fence, [(worded(engine, _MARK), [row])])


async def marks(engine: AsyncEngine) -> list[tuple[str, int]]:
    async with engine.connect() as db:
        return [(thread, number) for thread, number in await db.execute(_ALL)]


async def numbers(engine: AsyncEngine) -> list[int]:
    return [number for _, number in await marks(engine)]


async def test_fifty_that_wait_at_once_need_few_commits_and_each_gets_its_own_result(
    engine: AsyncEngine, writer: Writer, watched: Watched
) -> None:
    asked = worded(engine, "SELECT number FROM marks WHERE number = ?")
    units = [Unit(None, mark(engine, n).statements, query=(asked, (n,))) for n in range(50)]
    found = await asyncio.gather(*(writer.write(unit) for unit in units))
    assert [rows[0][0] for rows in found] == list(range(50))
    assert sorted(await numbers(engine)) == list(range(50))
    assert sum(watched.commits) == 50
    assert len(watched.commits) <= 5


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_holders_hand_over_is_stored_once_and_in_their_order(
    seed: int, engine: AsyncEngine, writer: Writer, fences: dict[str, Fence]
) -> None:
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    handed: dict[str, list[int]] = defaultdict(list)
    waiting: list[asyncio.Task[Any]] = []
    for number in range(60):
        fence = fences[chance.choice(THREADS)]
        handed[fence.key].append(number)
        if chance.random() < 0.5:
            writer.later(mark(engine, number, fence))
        else:
            waiting.append(asyncio.create_task(writer.write(mark(engine, number, fence))))
            await asyncio.sleep(0)  # in the line, in this order
        if chance.random() < 0.2:
            chance.choice(waiting or [asyncio.create_task(asyncio.sleep(0))]).cancel()
        if chance.random() < 0.2:
            await asyncio.wait(waiting) if waiting else None
    await asyncio.gather(*waiting, return_exceptions=True)
    await writer.aclose()
    stored: dict[str, list[int]] = defaultdict(list)
    for thread, number in await marks(engine):
        stored[thread].append(number)
    assert stored == handed


async def test_who_lost_its_thread_is_refused_alone(
    engine: AsyncEngine, writer: Writer, fences: dict[str, Fence], watched: Watched
) -> None:
    lost = Fence("t0", 99, lambda: LeaseLost("t0 was taken over"))
    units = [mark(engine, 0, fences["t1"]), mark(engine, 1, lost), mark(engine, 2, fences["t2"])]
    found = await asyncio.gather(*map(writer.write, units), return_exceptions=True)
    assert [type(each) for each in found] == [type(None), LeaseLost, type(None)]
    assert await numbers(engine) == [0, 2]
    assert watched.commits == [3]


async def test_who_takes_a_thread_over_shuts_out_who_stands_behind_it_in_the_group(
    engine: AsyncEngine, writer: Writer, fences: dict[str, Fence], watched: Watched
) -> None:
    async def take_over(db: AsyncConnection) -> None:
        await db.execute(text("UPDATE threads SET fence = fence + 1 WHERE id = 't0'"))

    units = [mark(engine, 0, fences["t0"]), Unit(work=take_over), mark(engine, 1, fences["t0"])]
    units += [mark(engine, 2, fences["t1"])]
    found = await asyncio.gather(*map(writer.write, units), return_exceptions=True)
    assert [type(each) for each in found] == [type(None), type(None), LeaseLost, type(None)]
    assert await numbers(engine) == [0, 2]
    assert watched.commits == [4]


async def test_a_unit_whose_guard_finds_nothing_is_refused_alone(
    engine: AsyncEngine, writer: Writer, fences: dict[str, Fence], watched: Watched
) -> None:
    guard = worded(engine, "SELECT 1 FROM threads WHERE id = ? AND status = ?")
    units = [
        Unit(fences[thread], mark(engine, number, fences[thread]).statements, guard=(guard, (thread, status)))
        for number, (thread, status) in enumerate([("t0", "running"), ("t1", "gone"), ("t2", "running")])
    ]
    found = await asyncio.gather(*map(writer.write, units), return_exceptions=True)
    assert [type(each) for each in found] == [type(None), LeaseLost, type(None)]
    assert await numbers(engine) == [0, 2]
    assert watched.commits == [3]


async def test_a_value_that_no_driver_takes_fails_alone(
    engine: AsyncEngine, writer: Writer, fences: dict[str, Fence]
) -> None:
    odd = Unit(fences["t1"], [(worded(engine, _MARK), [("t1", object())])])
    units = [mark(engine, 0, fences["t0"]), odd, mark(engine, 2, fences["t2"])]
    found = await asyncio.gather(*map(writer.write, units), return_exceptions=True)
    assert [isinstance(each, Exception) for each in found] == [False, True, False]
    assert not isinstance(found[1], DatabaseUnavailable), "it is no outage, and is not tried again"
    assert await numbers(engine) == [0, 2]


async def test_what_fails_alone_leaves_what_its_holder_handed_over(
    engine: AsyncEngine, writer: Writer, fences: dict[str, Fence]
) -> None:
    await writer.write(mark(engine, 7))
    writer.later(mark(engine, 0, fences["t0"]))
    with pytest.raises(Exception, match=r"(?i)unique"):
        await writer.write(mark(engine, 7, fences["t0"]), alone=True)
    await writer.stored("t0")
    assert await numbers(engine) == [7, 0]


async def test_a_unit_that_raises_a_timeout_is_told_at_once(engine: AsyncEngine, writer: Writer) -> None:
    async def late(db: AsyncConnection) -> None:
        raise TimeoutError("of its own")

    tried = asyncio.create_task(writer.talk(late))
    await asyncio.wait([tried], timeout=A_BUSY_MACHINE_S)
    assert tried.done(), "its own error, and not the writer's patience"
    assert isinstance(tried.exception(), TimeoutError | DatabaseUnavailable)


async def test_a_writer_that_is_cancelled_leaves_nobody_waiting(
    engine: AsyncEngine, writer: Writer, fences: dict[str, Fence]
) -> None:
    waiting = [asyncio.create_task(writer.write(mark(engine, n, fences["t0"]))) for n in range(3)]
    await asyncio.sleep(0)
    assert writer._task is not None
    writer._task.cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(each) for each in found} <= {DatabaseUnavailable, type(None)}
    assert await writer.write(Unit()) is None, "it goes on with whoever comes next"


async def test_who_fails_fails_alone_and_whole(
    engine: AsyncEngine, writer: Writer, fences: dict[str, Fence]
) -> None:
    await writer.write(mark(engine, 7))
    twice = Unit(None, [*mark(engine, 1).statements, *mark(engine, 7).statements])
    units = [mark(engine, 0, fences["t0"]), twice, mark(engine, 2, fences["t1"])]
    found = await asyncio.gather(*map(writer.write, units), return_exceptions=True)
    assert [isinstance(each, Exception) for each in found] == [False, True, False]
    assert sorted(await numbers(engine)) == [0, 2, 7]


async def test_work_sees_what_it_wrote_and_leaves_nothing_when_it_raises(
    engine: AsyncEngine, writer: Writer
) -> None:
    insert = text("INSERT INTO marks (place, thread, number) VALUES (0, 't', :number)")

    async def good(db: AsyncConnection) -> int:
        await db.execute(insert, {"number": 1})
        return int((await db.execute(text("SELECT count(*) FROM marks"))).scalar_one())

    async def bad(db: AsyncConnection) -> None:
        await db.execute(insert, {"number": 2})
        raise LookupError("no")

    async def doubled(db: AsyncConnection) -> None:
        await db.execute(insert, {"number": 1})

    async def idle(db: AsyncConnection) -> None:
        await asyncio.sleep(0)

    works: list[Any] = [good, bad, doubled, idle]
    found = await asyncio.gather(*map(writer.talk, works), return_exceptions=True)
    assert found[0] == 1
    assert [type(each) for each in found[1:]] == [LookupError, IntegrityError, RuntimeError]
    assert await numbers(engine) == [1]


async def test_what_needs_no_promise_goes_with_the_next_one_of_its_holder(
    engine: AsyncEngine, writer: Writer, fences: dict[str, Fence], watched: Watched
) -> None:
    for number in range(3):
        writer.later(mark(engine, number, fences["t0"]))
    await writer.write(mark(engine, 3, fences["t0"]))
    assert await numbers(engine) == [0, 1, 2, 3]
    assert watched.commits == [1]


async def test_what_nobody_takes_along_is_stored_by_itself_and_readers_can_wait_for_it(
    engine: AsyncEngine, writer: Writer, fences: dict[str, Fence]
) -> None:
    writer.later(mark(engine, 0, fences["t0"]))
    writer.later(mark(engine, 1, fences["t1"]))
    await writer.stored("t0")
    assert 0 in await numbers(engine)
    await writer.stored("t1")
    assert await numbers(engine) == [0, 1]
    writer.later(mark(engine, 2, fences["t2"]))
    async with asyncio.timeout(20):
        while await numbers(engine) != [0, 1, 2]:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)


async def test_a_promise_that_fails_takes_what_stands_before_it_along(
    engine: AsyncEngine, writer: Writer, fences: dict[str, Fence]
) -> None:
    await writer.write(mark(engine, 7))
    writer.later(mark(engine, 0, fences["t0"]))
    with pytest.raises(Exception, match=r"(?i)unique"):
        await writer.write(mark(engine, 7, fences["t0"]))
    await writer.stored("t0")
    assert await numbers(engine) == [7], "a checkpoint and the writes behind it stand together, or not at all"


async def test_who_is_cancelled_waits_for_its_commit(
    engine: AsyncEngine, writer: Writer, fences: dict[str, Fence]
) -> None:
    for number in range(20):
        waiting = asyncio.create_task(writer.write(mark(engine, number, fences["t0"])))
        for _ in range(number):
            await asyncio.sleep(0)
        told = waiting.cancel()  # it may be done already
        with pytest.raises(asyncio.CancelledError) if told else nullcontext():
            await waiting
        if number:
            assert await numbers(engine) == list(range(1, number + 1))


async def test_closing_stores_what_was_handed_over_and_the_writer_can_be_used_again(
    engine: AsyncEngine, writer: Writer, fences: dict[str, Fence]
) -> None:
    writer.later(mark(engine, 0, fences["t0"]))
    waiting = asyncio.create_task(writer.write(mark(engine, 1, fences["t1"])))
    await asyncio.sleep(0)
    await engine.dispose()
    await waiting
    assert sorted(await numbers(engine)) == [0, 1]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("database writer")]
    await writer.write(mark(engine, 2))
    assert sorted(await numbers(engine)) == [0, 1, 2]


async def test_readers_do_not_wait_for_a_transaction_that_is_open(
    engine: AsyncEngine, writer: Writer
) -> None:
    inside, go_on = threading.Event(), threading.Event()

    async def slow(db: AsyncConnection) -> None:
        await db.execute(text("INSERT INTO marks (place, thread, number) VALUES (0, 't', 0)"))
        inside.set()
        assert go_on.wait(20)

    writing = asyncio.create_task(writer.talk(slow))
    assert await asyncio.to_thread(inside.wait, 20)
    try:
        async with asyncio.timeout(10):
            assert await numbers(engine) == []
    finally:
        go_on.set()
        await writing
    assert await numbers(engine) == [0]


@pytest.fixture
async def locked(engine: AsyncEngine) -> AsyncIterator[sqlite3.Connection]:
    """A SQLite database that another program writes to."""
    if engine.dialect.name != "sqlite":
        pytest.skip("only SQLite has one lock for all")
    other = sqlite3.connect(str(engine.url.database), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


async def test_g2_2_a_line_of_writers_is_not_waited_for_without_end(
    engine: AsyncEngine, writer: Writer, locked: sqlite3.Connection
) -> None:
    first = asyncio.create_task(writer.write(mark(engine, 0)))
    await asyncio.sleep(0.05)
    with answered_within(0.1), pytest.raises(DatabaseUnavailable, match="other writers"):
        await writer.write(mark(engine, 1))
    with pytest.raises(DatabaseUnavailable, match="locked by another program"):
        await first
    locked.execute("ROLLBACK")
    await writer.write(mark(engine, 2))
    assert await numbers(engine) == [2], "who gave up in the line is not written behind its back"


async def test_st6_what_was_handed_over_before_an_outage_is_stored_behind_it(
    engine: AsyncEngine,
    writer: Writer,
    locked: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.database.writer.AGAIN_S", 0.05)
    # Held before the lock was taken: made by hand.
    locked.execute(
        "INSERT INTO threads (id, owner, created_at, updated_at, title, status, turns, dirty)"
        " VALUES ('t', 'ada', 0, 0, '', 'idle', 0, 0)"
    )
    locked.execute("COMMIT")
    locked.execute("BEGIN IMMEDIATE")
    fence = Fence("t", 0, lambda: LeaseLost("t"))
    writer.later(mark(engine, 0, fence))
    with pytest.raises(DatabaseUnavailable):
        await writer.write(mark(engine, 1, fence))
    writer.later(mark(engine, 2, fence))
    locked.execute("ROLLBACK")
    await writer.write(mark(engine, 1, fence))
    assert await numbers(engine) == [0, 2, 1]


async def test_st6_the_writer_makes_a_new_connection_when_its_own_was_cut(
    postgres_server: PostgresServer, postgres_url: URL
) -> None:
    async with opened_database(postgres_url) as engine:
        writer = writer_of(engine)
        one = Unit(query=("SELECT 1", ()))
        assert await writer.write(one) == [(1,)]
        postgres_server.cut_connections(postgres_url)
        assert await writer.write(one) == [(1,)]
