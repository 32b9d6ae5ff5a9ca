"""Runs in the ledger: how they begin, wait in line, and go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from sqlalchemy.engine import URL

from core.database.writer import BEGUN_AT_ONCE, Entry
from core.holder import alive
from graph.db.database import opened_database, writer_of
from graph.db.tables import runs, threads
from graph.errors import (
    AlreadyAnswered,
    KeyReused,
    NothingToResume,
    QueueFull,
    RunNotFound,
    ThreadBusy,
    ThreadNotFound,
    ThreadWaiting,
)
from graph.runs.ledger import RunLedger
from graph.runs.record import SEQ_BLOCK
from tests.unit.graph.run_kit import ADA, BOB, QUESTION, Desk, going, new_run


@pytest.fixture
async def desk(database: URL) -> AsyncIterator[Desk]:
    async with opened_database(database) as engine:
        yield Desk.at(engine)


async def test_a_run_and_its_message_are_stored_when_it_is_open(desk: Desk) -> None:
    new = new_run("What is a berth?\nAnd a fee?", model="m", tools=("a", "b"), webhook="ops")
    claim = await desk.ledger.open(new)
    assert (claim.repeated, claim.asked_to_stop, claim.floor) == (False, False, 0)
    kept = await desk.lookup.get(ADA, new.id)
    assert kept == claim.record
    assert (kept.status, kept.attempts, kept.message_id) == ("running", 1, new.message_id)
    assert kept.request.principal == ADA, "its rights go with it"
    assert kept.request.choices.tools == ("a", "b")
    assert kept.seq_limit == SEQ_BLOCK
    assert await desk.said() == [("user", "What is a berth?\nAnd a fee?")]
    thread = await desk.thread()
    assert (thread["title"], thread["status"], thread["run_id"]) == ("What is a berth?", "running", new.id)
    assert (await desk.run(new.id))["webhook"] == "ops"


async def test_where_no_run_is_executed_one_commit_opens_as_many_as_it_carries(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, sizes = writer_of(desk.engine)._group, list[int]()
    commit = group.commit

    def counted(entries: Sequence[Entry]) -> list[Any]:
        sizes.append(len(entries))
        return commit(entries)

    monkeypatch.setattr(group, "commit", counted)
    ledger = RunLedger(desk.engine, desk.leases, desk.lookup, hands_over=True)
    claims = await asyncio.gather(*(ledger.open(new_run(thread=f"t{n}")) for n in range(4 * BEGUN_AT_ONCE)))
    assert {claim.record.status for claim in claims} == {"queued"}
    assert max(sizes) > BEGUN_AT_ONCE


async def test_somebody_elses_thread_does_not_exist(desk: Desk) -> None:
    await desk.end(await desk.begun())
    for how in ("reject", "enqueue", "interrupt"):
        with pytest.raises(ThreadNotFound):
            await desk.begun(who=BOB, on_busy=how)
    assert await desk.count(runs) == 1


async def test_somebody_elses_run_does_not_exist(desk: Desk) -> None:
    run = await desk.begun()
    await desk.pause(run)
    for call in (
        desk.lookup.get(BOB, run.id),
        desk.ledger.ask_to_stop(BOB, run.id),
        desk.ledger.reopen(BOB, run.id, None),
        desk.lookup.get(ADA, "made-up"),
    ):
        with pytest.raises(RunNotFound):
            await call
    with pytest.raises(ThreadNotFound):
        await desk.ledger.adopt_waiting(new_run(who=BOB))


async def test_a_refused_run_leaves_not_even_a_new_thread(desk: Desk) -> None:
    await desk.ledger.open(new_run(idempotency_key="k"))
    with pytest.raises(KeyReused):
        await desk.ledger.open(new_run("other", thread="u", idempotency_key="k"))
    assert await desk.count(threads) == 1


# -- waiting in line ------------------------------------------------------------------------------


async def test_runs_that_were_told_to_wait_begin_in_their_order(desk: Desk) -> None:
    first = await desk.begun("one")
    for text in ("two", "three", "four"):
        claim = await desk.ledger.open(new_run(text, on_busy="enqueue"))
        assert (claim.hold, claim.record.status, claim.record.attempts) == (None, "queued", 0)
    run, order = first, []
    while await desk.end(run):
        found = await desk.claims.next_of("t")
        assert found is not None
        run = going(found)
        order.append(run.request.message)
        assert await desk.claims.next_of("t") is None, "one at a time"
    assert order == ["two", "three", "four"]
    assert [text for _, text in await desk.said()] == ["one", "two", "three", "four"]


async def test_who_does_not_want_to_wait_is_refused_while_others_wait(desk: Desk) -> None:
    first = await desk.begun("one")
    waiting = await desk.ledger.open(new_run("two", on_busy="enqueue"))
    await desk.end(first)
    with pytest.raises(ThreadBusy):
        await desk.begun("three")
    behind = await desk.ledger.open(new_run("three", on_busy="enqueue"))
    assert behind.hold is None
    found = await desk.claims.next_of("t")
    assert found is not None
    assert found.record.id == waiting.record.id


@pytest.mark.parametrize("how", ["enqueue", "interrupt"])
async def test_only_so_many_runs_wait_for_a_thread(desk: Desk, how: str) -> None:
    await desk.begun("one")
    for text in ("two", "three"):
        await desk.ledger.open(new_run(text, on_busy=how, queue_limit=2))
    with pytest.raises(QueueFull, match="2 runs wait"):
        await desk.ledger.open(new_run("four", on_busy=how, queue_limit=2))
    assert await desk.count(runs) == 3


async def test_a_run_that_takes_anothers_place_asks_it_to_stop_and_goes_before_those_in_line(
    desk: Desk,
) -> None:
    first = await desk.begun("one")
    await desk.ledger.open(new_run("two", on_busy="enqueue"))
    claim = await desk.ledger.open(new_run("now", on_busy="interrupt"))
    assert (claim.hold, claim.asked_to_stop) == (None, True)
    assert await desk.lookup.stops() == {first.id: "supersede"}
    assert await Desk.at(desk.engine).lookup.stops() == {}, "it is the holder's business"
    assert await desk.end(first, "cancelled", reason="superseded")
    found = await desk.claims.next_of("t")
    assert found is not None
    assert found.record.id == claim.record.id


async def test_on_a_free_thread_every_way_of_asking_begins_at_once(desk: Desk) -> None:
    for how in ("reject", "enqueue", "interrupt"):
        await desk.end(await desk.begun(on_busy=how))


async def test_a_process_begins_those_runs_only_that_it_answers_for(desk: Desk) -> None:
    first = await desk.begun("one")
    waiting = await desk.ledger.open(new_run("two", on_busy="enqueue"))
    await desk.end(first)
    assert await desk.lookup.waiting_threads(10) == ["t"]
    assert await desk.claims.next_of("t", only=()) is None
    assert await desk.claims.next_of("t", only=[waiting.record.id]) is not None
    assert await desk.lookup.waiting_threads(10) == []
    assert await desk.claims.next_of("nowhere") is None


async def test_of_ten_processes_one_begins_the_next_run(desk: Desk) -> None:
    first = await desk.begun("one")
    await desk.ledger.open(new_run("two", on_busy="enqueue"))
    await desk.end(first)
    others = [Desk.at(desk.engine) for _ in range(10)]
    claims = await asyncio.gather(*(other.claims.next_of("t") for other in others))
    assert sum(claim is not None for claim in claims) == 1


# -- a thread that waits for a person -------------------------------------------------------------


async def test_a_message_beside_a_question_is_refused_or_waits_or_takes_its_place(desk: Desk) -> None:
    asked = await desk.begun("one")
    await desk.pause(asked)
    assert (await desk.thread())["waiting"] == [QUESTION]
    with pytest.raises(ThreadWaiting, match="on_busy=interrupt"):
        await desk.begun("two")
    behind = await desk.ledger.open(new_run("three", on_busy="enqueue"))
    assert behind.hold is None
    assert await desk.claims.next_of("t") is None, "the answer comes first"
    assert await desk.lookup.waiting_threads(10) == []

    instead = going(await desk.ledger.open(new_run("four", on_busy="interrupt")))
    assert instead.hold.dirty
    old = await desk.run(asked.id)
    assert (old["status"], old["reason"]) == ("cancelled", "superseded")
    assert (await desk.thread())["waiting"] is None
    with pytest.raises(ThreadBusy):
        await desk.ledger.reopen(ADA, asked.id, {})
    await desk.end(instead)
    with pytest.raises(NothingToResume):
        await desk.ledger.reopen(ADA, asked.id, {})


async def test_an_answer_goes_on_with_the_same_run_before_those_that_wait(desk: Desk) -> None:
    asked = await desk.begun("one", policy="end")
    await desk.pause(asked)
    await desk.ledger.open(new_run("two", on_busy="enqueue"))
    claim = await desk.ledger.reopen(ADA, asked.id, {"i1": {"approve": True}}, policy="resume")
    again = going(claim)
    assert (again.id, again.attempt, again.record.policy) == (asked.id, 2, "resume")
    assert again.record.answers == {"i1": {"approve": True}}
    assert claim.floor == SEQ_BLOCK, "a later attempt counts on"
    assert again.log.limit == 2 * SEQ_BLOCK
    assert await desk.end(again)


async def test_of_ten_answers_at_once_one_goes_on(desk: Desk) -> None:
    asked = await desk.begun()
    await desk.pause(asked)
    tries = [desk.ledger.reopen(ADA, asked.id, {"i1": {"approve": True}}) for _ in range(10)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, ThreadBusy) for result in results) == 9


async def test_an_answer_that_somebody_else_was_quicker_with_does_not_reach_what_is_asked_next(
    desk: Desk,
) -> None:
    asked = await desk.begun()
    await desk.pause(asked)
    yes = {"i1": {"approve": True}}
    first = going(await desk.ledger.reopen(ADA, asked.id, yes, seen=1))
    await desk.pause(first)
    with pytest.raises(AlreadyAnswered, match="interrupt 'i1' has had its answer"):
        await desk.ledger.reopen(ADA, asked.id, yes, seen=1)
    assert (await desk.lookup.get(ADA, asked.id)).answered == ("i1",)


async def test_an_answer_that_was_not_given_before_a_shutdown_is_taken_again(desk: Desk) -> None:
    asked = await desk.begun()
    await desk.pause(asked)
    yes = {"i1": {"approve": True}}
    stopped = going(await desk.ledger.reopen(ADA, asked.id, yes, seen=1))
    await desk.end(stopped, "interrupted", reason="drained")
    again = going(await desk.ledger.reopen(ADA, asked.id, yes, seen=2))
    assert again.record.answers == yes


async def test_a_question_that_comes_while_a_run_waits_to_take_its_place_does_not_hold_it_up(
    desk: Desk,
) -> None:
    asked = await desk.begun("one")
    instead = await desk.ledger.open(new_run("two", on_busy="interrupt"))
    await desk.pause(asked)
    claim = await desk.claims.next_of("t")
    assert claim is not None
    assert claim.record.id == instead.record.id
    assert (await desk.run(asked.id))["reason"] == "superseded"


async def test_only_the_run_that_went_last_is_gone_on_with(desk: Desk) -> None:
    stopped = await desk.begun("one")
    await desk.end(stopped, "interrupted", reason="drained")
    later = await desk.begun("two")
    await desk.end(later, "interrupted", reason="drained")
    with pytest.raises(NothingToResume):
        await desk.ledger.reopen(ADA, stopped.id, None)
    found = await desk.lookup.interrupted_on(ADA, "t")
    assert found is not None
    assert found.id == later.id
    await desk.end(going(await desk.ledger.reopen(ADA, later.id, None)))
    with pytest.raises(NothingToResume):
        await desk.ledger.reopen(ADA, later.id, None)


async def test_the_run_that_went_last_need_not_be_the_one_that_was_asked_for_last(desk: Desk) -> None:
    first = await desk.begun("one")
    await desk.ledger.open(new_run("two", on_busy="enqueue"))
    await desk.ledger.open(new_run("three", on_busy="interrupt"))
    await desk.end(first, "cancelled")
    for expected in ("three", "two"):
        claim = await desk.claims.next_of("t")
        assert claim is not None
        run = going(claim)
        assert run.request.message == expected
        await desk.end(run, "interrupted", reason="drained")
    found = await desk.lookup.interrupted_on(ADA, "t")
    assert found is not None
    assert found.request.message == "two"
    assert going(await desk.ledger.reopen(ADA, found.id, None)).attempt == 2


async def test_a_thread_that_waited_before_there_were_runs_gets_one(desk: Desk) -> None:
    asked = await desk.begun()
    await desk.pause(asked)
    async with desk.engine.begin() as db:
        await db.execute(runs.delete())
    assert await desk.lookup.interrupted_on(ADA, "t") is None
    record = await desk.ledger.adopt_waiting(new_run("", resume={"approve": True}))
    assert (record.status, record.reason, record.message_id) == ("interrupted", "person", None)
    assert going(await desk.ledger.reopen(ADA, record.id, {"i1": {"approve": True}})).attempt == 2


async def test_a_thread_that_does_not_wait_gets_no_run_to_go_on_with(desk: Desk) -> None:
    await desk.end(await desk.begun())
    with pytest.raises(NothingToResume):
        await desk.ledger.adopt_waiting(new_run())
    with pytest.raises(ThreadNotFound):
        await desk.ledger.adopt_waiting(new_run(thread="nowhere"))


# -- keys -----------------------------------------------------------------------------------------


async def test_the_same_key_is_the_same_run(desk: Desk) -> None:
    new = new_run(idempotency_key="k")
    first = await desk.ledger.open(new)
    again = await desk.ledger.open(new_run(idempotency_key="k"))
    assert (again.repeated, again.hold, again.record) == (True, None, await desk.lookup.get(ADA, new.id))
    await desk.end(going(first))
    assert (await desk.ledger.open(new_run(idempotency_key="k"))).record.id == new.id
    assert await desk.said() == [("user", "hello")]


async def test_a_key_of_another_request_is_refused(desk: Desk) -> None:
    await desk.ledger.open(new_run(idempotency_key="k"))
    for other in (new_run("other", idempotency_key="k"), new_run(model="m", idempotency_key="k")):
        with pytest.raises(KeyReused):
            await desk.ledger.open(other)
    claim = await desk.ledger.open(new_run(idempotency_key="k", on_disconnect="continue"))
    assert claim.repeated, "how the caller listens is no part of what it asks for"


async def test_keys_are_each_callers_own(desk: Desk) -> None:
    await desk.ledger.open(new_run(idempotency_key="k"))
    theirs = await desk.ledger.open(new_run("theirs", who=BOB, thread="u", idempotency_key="k"))
    assert not theirs.repeated


@pytest.mark.parametrize("one_thread", [True, False])
async def test_of_ten_requests_at_once_with_one_key_one_run_comes(desk: Desk, one_thread: bool) -> None:
    asked = [new_run(idempotency_key="k") for _ in range(10)]
    if not one_thread:  # new threads, each with an id of its own
        asked = [new_run("hello", thread=f"t{n}", idempotency_key="k") for n in range(10)]
        for new in asked:
            object.__setattr__(new.request, "thread_id", None)
    claims = await asyncio.gather(*(desk.ledger.open(new) for new in asked))
    assert len({claim.record.id for claim in claims}) == 1
    assert sum(claim.hold is not None for claim in claims) == 1
    assert (await desk.count(runs), await desk.count(threads)) == (1, 1)


# -- lists ----------------------------------------------------------------------------------------


async def test_runs_are_listed_the_newest_first_in_pages(desk: Desk) -> None:
    made = []
    for n in range(5):
        run = await desk.begun(str(n), thread=f"t{n % 2}")
        await desk.end(run, "done" if n else "failed")
        made.append(run.id)
    await desk.end(await desk.begun(who=BOB, thread="u"))
    assert [run.id for run in await desk.lookup.list(ADA)] == made[::-1]
    page = await desk.lookup.list(ADA, limit=2)
    rest = await desk.lookup.list(ADA, after=page[-1].id)
    assert [run.id for run in [*page, *rest]] == made[::-1]
    assert [run.id for run in await desk.lookup.list(ADA, thread_id="t1")] == [made[3], made[1]]
    assert [run.id for run in await desk.lookup.list(ADA, status="failed")] == [made[0]]
    with pytest.raises(RunNotFound):
        await desk.lookup.list(BOB, after=made[0])


async def test_what_is_stored_of_a_run_is_what_its_owner_is_shown(desk: Desk) -> None:
    run = await desk.begun()
    with alive(desk.leases.holder):
        assert (await desk.lookup.get(ADA, run.id)).active
    await desk.end(run, output={"answer": "8"}, model="m", input_tokens=3, output_tokens=2)
    shown = (await desk.lookup.get(ADA, run.id)).as_json()
    assert shown["usage"] == {"input_tokens": 3, "output_tokens": 2, "model": "m"}
    assert shown["output"] == {"answer": "8"}
    assert shown["created_at"] <= shown["started_at"] <= shown["ended_at"]
    assert "request" not in shown
