"""One run at a time on a thread, and no thread held by the dead."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select, update
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal
from core.holder import new_holder
from graph.database import open_database
from graph.errors import ThreadBusy, ThreadNotFound
from graph.lease import Leases, UserMessage, title_from
from graph.tables import threads
from graph.transcript import Transcript

ADA, BOB = Principal("ada"), Principal("bob")


@pytest.fixture
async def engine(database: URL) -> AsyncIterator[AsyncEngine]:
    engine = await open_database(database)
    yield engine
    await engine.dispose()


def here(pid: int) -> str:
    """A holder on this machine with that process id."""
    return f"{new_holder().partition(':')[0]}:{pid}:x"


def message(text: str) -> UserMessage:
    return UserMessage(f"m_{text}", text)


async def test_of_ten_concurrent_takers_one_gets_the_thread(engine: AsyncEngine) -> None:
    leases = Leases(engine)
    tries = [leases.take("t", f"r{n}", ADA, message(str(n))) for n in range(10)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, ThreadBusy) for result in results) == 9
    page = await Transcript(engine).page("t", limit=50, before=None)
    assert len(page["messages"]) == 1, "a refused message leaves nothing behind"


async def test_a_thread_is_free_again_after_it_was_given_back(engine: AsyncEngine) -> None:
    leases = Leases(engine)
    first = await leases.take("t", "r1", ADA, message("one"))
    await leases.give_back(first, status="idle", clean=True)
    second = await leases.take("t", "r2", ADA, message("two"))
    assert (first.dirty, second.dirty) == (False, False)


async def test_a_turn_without_a_clean_end_leaves_the_thread_marked(engine: AsyncEngine) -> None:
    leases = Leases(engine)
    await leases.give_back(await leases.take("t", "r1", ADA, message("one")), status="failed", clean=False)
    assert (await leases.take("t", "r2", ADA, message("two"))).dirty


async def test_somebody_elses_thread_does_not_exist(engine: AsyncEngine) -> None:
    leases = Leases(engine)
    await leases.give_back(await leases.take("t", "r1", ADA, message("one")), status="idle", clean=True)
    with pytest.raises(ThreadNotFound):
        await leases.take("t", "r2", BOB, message("two"))


async def test_resuming_a_thread_that_is_not_there_makes_none(engine: AsyncEngine) -> None:
    with pytest.raises(ThreadNotFound):
        await Leases(engine).take("t", "r1", ADA, None)


async def test_the_lease_of_a_killed_process_is_taken_over_at_once(engine: AsyncEngine) -> None:
    leases = Leases(engine)
    await leases.take("t", "r1", ADA, message("one"))
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    async with engine.begin() as db:
        await db.execute(update(threads).values(holder=here(int(gone.stdout))))
    assert (await leases.take("t", "r2", ADA, message("two"))).dirty


async def test_of_ten_that_find_a_dead_holder_at_once_one_takes_over(engine: AsyncEngine) -> None:
    leases = Leases(engine)
    await leases.take("t", "r", ADA, message("one"))
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    async with engine.begin() as db:
        await db.execute(update(threads).values(holder=here(int(gone.stdout))))
    tries = [leases.take("t", f"r{n}", ADA, message(str(n))) for n in range(10)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, ThreadBusy) for result in results) == 9


async def test_a_living_process_keeps_its_lease(engine: AsyncEngine) -> None:
    leases = Leases(engine)
    await leases.take("t", "r1", ADA, message("one"))
    async with engine.begin() as db:
        await db.execute(update(threads).values(holder=here(1)))
    with pytest.raises(ThreadBusy):
        await leases.take("t", "r2", ADA, message("two"))


async def test_an_expired_lease_of_another_host_is_taken_over(engine: AsyncEngine) -> None:
    leases = Leases(engine)
    await leases.take("t", "r1", ADA, message("one"))
    async with engine.begin() as db:
        await db.execute(update(threads).values(holder="elsewhere:1:x", lease_until=1.0))
    assert (await leases.take("t", "r2", ADA, message("two"))).dirty


async def test_a_run_that_lost_its_lease_does_not_end_the_next_one(engine: AsyncEngine) -> None:
    leases = Leases(engine)
    old = await leases.take("t", "r1", ADA, message("one"))
    async with engine.begin() as db:
        await db.execute(update(threads).values(holder="elsewhere:1:x", lease_until=1.0))
    await leases.take("t", "r2", ADA, message("two"))
    await leases.give_back(old, status="idle", clean=True)
    async with engine.connect() as db:
        row = (await db.execute(select(threads))).mappings().one()
    assert (row["run_id"], row["status"]) == ("r2", "running")


def test_a_title_is_the_first_line_cut_to_eighty_characters() -> None:
    assert title_from("\n  Hello \nthere") == "Hello"
    assert len(title_from("x" * 200)) == 80


async def test_a_lease_is_prolonged_while_its_run_is_going_and_no_longer(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.lease.BEAT_SECONDS", 0.01)
    leases = Leases(engine)
    turn = await leases.take("t", "r1", ADA, message("one"))

    async def until() -> float:
        async with engine.connect() as db:
            return float((await db.execute(select(threads.c.lease_until))).scalar_one() or 0)

    first = await until()
    async with leases.beating(), asyncio.timeout(10):
        while await until() == first:
            pass
        await leases.give_back(turn, status="idle", clean=True)
        assert await until() == 0


async def test_what_was_taken_for_a_caller_who_went_away_is_given_back(engine: AsyncEngine) -> None:
    leases = Leases(engine)
    for steps in range(1, 40, 3):
        taking = asyncio.create_task(leases.take(f"t{steps}", "r1", ADA, message("1")))
        for _ in range(steps):
            await asyncio.sleep(0)
        taking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            turn = await taking
            await leases.give_back(turn, status="idle", clean=True)
        again = await leases.take(f"t{steps}", "r2", ADA, message("2"))
        assert again.run_id == "r2"


async def test_another_holder_of_this_process_is_alive_while_it_beats(engine: AsyncEngine) -> None:
    first, second = Leases(engine), Leases(engine)
    async with first.beating():
        await first.take("t", "r1", ADA, message("1"))
        with pytest.raises(ThreadBusy):
            await second.take("t", "r2", ADA, message("2"))
    assert (await second.take("t", "r2", ADA, message("2"))).dirty
