"""A thread has one holder at a time, who keeps it while it lives and no longer."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import event, update
from sqlalchemy.engine import URL

from core.holder import alive, new_holder
from graph.db.database import opened_database
from graph.db.tables import runs, threads
from graph.errors import LeaseLost, ThreadBusy, ThreadNotFound
from graph.runs.lease import holding, title_from
from tests.unit.graph.run_kit import QUESTION, Desk, FailingGroup, new_run


@pytest.fixture
async def desk(database: URL) -> AsyncIterator[Desk]:
    async with opened_database(database) as engine:
        yield Desk.at(engine)


def dead_holder() -> str:
    """The name of a process of this machine that has ended."""
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    return f"{new_holder().partition(':')[0]}:{int(gone.stdout)}:x"


async def hold_as(desk: Desk, holder: str) -> None:
    async with desk.engine.begin() as db:
        await db.execute(update(threads).values(holder=holder))


async def test_of_ten_concurrent_takers_one_gets_the_thread(desk: Desk) -> None:
    tries = [desk.ledger.open(new_run(str(n))) for n in range(10)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, ThreadBusy) for result in results) == 9
    assert len(await desk.said()) == 1, "a refused message leaves nothing behind"
    assert await desk.count(runs) == 1


async def test_a_thread_is_free_again_after_it_was_given_back(desk: Desk) -> None:
    first = await desk.begun("one")
    await desk.end(first)
    second = await desk.begun("two")
    assert (first.hold.dirty, second.hold.dirty) == (False, False)
    assert second.hold.fence == first.hold.fence + 1


async def test_a_turn_without_a_clean_end_leaves_the_thread_marked(desk: Desk) -> None:
    await desk.end(await desk.begun("one"), "failed", thread_status="failed")
    assert (await desk.thread())["status"] == "failed"
    assert (await desk.begun("two")).hold.dirty


async def test_the_lease_of_a_killed_process_is_taken_over_at_once(desk: Desk) -> None:
    await desk.begun("one")
    await hold_as(desk, dead_holder())
    assert (await desk.begun("two")).hold.dirty


async def test_of_ten_that_find_a_dead_holder_at_once_one_takes_over(desk: Desk) -> None:
    await desk.begun("one")
    await hold_as(desk, dead_holder())
    tries = [desk.ledger.open(new_run(str(n))) for n in range(10)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, ThreadBusy) for result in results) == 9


async def test_a_living_process_keeps_its_lease(desk: Desk) -> None:
    await desk.begun("one")
    await hold_as(desk, f"{new_holder().partition(':')[0]}:1:x")
    with pytest.raises(ThreadBusy):
        await desk.begun("two")


async def test_a_process_on_another_machine_is_believed_until_its_lease_ends(desk: Desk) -> None:
    await desk.begun("one")
    await hold_as(desk, "elsewhere:1:x")
    with pytest.raises(ThreadBusy):
        await desk.begun("two")
    await desk.expire()
    assert (await desk.begun("two")).hold.dirty


async def test_another_holder_of_this_process_is_alive_while_it_beats(desk: Desk) -> None:
    other = Desk.at(desk.engine)
    async with desk.leases.beating():
        await desk.begun("one")
        with pytest.raises(ThreadBusy):
            await other.begun("two")
    assert (await other.begun("two")).hold.dirty


async def test_a_lease_is_prolonged_while_its_run_is_going_and_no_longer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.runs.lease.BEAT_SECONDS", 0.01)
    run = await desk.begun("one")
    first = (await desk.thread())["lease_until"]
    async with desk.leases.beating(), asyncio.timeout(10):
        while (await desk.thread())["lease_until"] == first:
            pass
        await desk.end(run)
        assert (await desk.thread())["lease_until"] is None


async def test_a_holder_is_told_which_run_it_has_lost(desk: Desk) -> None:
    told: list[str] = []
    desk = Desk.at(desk.engine, lost=told.append)
    kept, lost = await desk.begun("one", thread="kept"), await desk.begun("two", thread="lost")
    await desk.leases.prolong()
    assert told == []
    await desk.expire("lost")
    await Desk.at(desk.engine).begun("three", thread="lost")
    await desk.leases.prolong()
    assert told == [lost.id]
    await desk.end(kept)
    await desk.leases.prolong()
    assert told == [lost.id, lost.id], "a run that has ended is not lost"


async def test_a_process_that_holds_nothing_beats_without_the_database(desk: Desk) -> None:
    seen: list[str] = []
    event.listen(desk.engine.sync_engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
    await desk.leases.prolong()
    assert seen == []


async def test_a_beat_that_fails_is_followed_by_the_next(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.runs.lease.BEAT_SECONDS", 0.01)
    await desk.begun("one")
    first = (await desk.thread())["lease_until"]
    fault = FailingGroup(desk.engine, 1, monkeypatch)
    async with desk.leases.beating(), asyncio.timeout(10):
        while (await desk.thread())["lease_until"] == first:
            pass
    assert not fault.times


async def test_what_was_taken_for_a_caller_who_went_away_can_be_given_back(desk: Desk) -> None:
    for steps in range(1, 40, 3):
        new = new_run("1", thread=f"t{steps}")
        opening = asyncio.create_task(desk.ledger.open(new))
        for _ in range(steps):
            await asyncio.sleep(0)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await opening
        held = (await desk.thread(new.thread_id))["run_id"]
        assert held in (None, new.id), "it is there whole or not at all"


async def test_a_borrowed_thread_has_no_run_and_is_as_it_was_afterwards(desk: Desk) -> None:
    await desk.pause(await desk.begun("one"))
    before = await desk.thread()
    async with desk.leases.borrow("t") as hold:
        assert holding() == hold
        with pytest.raises(ThreadBusy):
            await desk.begun("two", on_busy="reject")
        with pytest.raises(ThreadBusy):
            async with desk.leases.borrow("t"):
                pass
    after = await desk.thread()
    assert holding() is None
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"fence", "updated_at"}
    assert (after["status"], after["waiting"]) == ("interrupted", [QUESTION])


async def test_a_thread_that_is_not_there_is_not_borrowed(desk: Desk) -> None:
    with pytest.raises(ThreadNotFound):
        async with desk.leases.borrow("nowhere"):
            pass


async def test_a_borrower_that_is_cancelled_at_any_step_gives_the_thread_back(desk: Desk) -> None:
    await desk.end(await desk.begun("one"))

    async def borrow() -> None:
        async with desk.leases.borrow("t"):
            await asyncio.sleep(0)

    for steps in range(1, 60, 2):
        borrowing = asyncio.create_task(borrow())
        for _ in range(steps):
            await asyncio.sleep(0)
        borrowing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await borrowing
        row = await desk.thread()
        assert (row["run_id"], row["status"]) == (None, "idle")


async def test_a_borrower_that_was_believed_dead_is_told_so_at_the_end(desk: Desk) -> None:
    await desk.end(await desk.begun("one"))
    borrowed = desk.leases.borrow("t")
    await borrowed.__aenter__()
    await desk.expire()
    await Desk.at(desk.engine).begun("two")
    with pytest.raises(LeaseLost):
        await borrowed.__aexit__(None, None, None)


@pytest.mark.parametrize("supervised", [True, False])
async def test_a_question_outlives_upkeep_that_died(desk: Desk, supervised: bool) -> None:
    asked = await desk.begun("one")
    await desk.pause(asked)
    other = Desk.at(desk.engine, supervised=supervised)
    with alive(other.leases.holder):
        # Nobody leaves the block: the process died in it.
        borrowed = desk.leases.borrow("t")
        await borrowed.__aenter__()
        if supervised:
            assert await other.lookup.orphaned_threads() == ["t"]
            assert await other.claims.orphan_of("t") is None
            assert await other.lookup.orphaned_threads() == []
        claim = await other.ledger.reopen(asked.request.principal, asked.id, {"i1": {"approve": True}})
        assert claim.record.attempts == 2
    with contextlib.suppress(LeaseLost):
        await borrowed.__aexit__(None, None, None)


def test_a_title_is_the_first_line_cut_to_eighty_characters() -> None:
    assert title_from("\n  Hello \nthere") == "Hello"
    assert len(title_from("x" * 200)) == 80
    assert title_from(" \n ") == ""
