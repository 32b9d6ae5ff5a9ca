"""A turn meets a database that is away for a moment: it waits, says so, and goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.access import Principal
from core.errors import StorageUnavailable
from graph import Agent
from graph.runs.record import TurnRequest
from tests.kit.counted_tools import CountedTools
from tests.outages.conftest import Database
from waystation.testing.model_server import ModelServer, calls, say

LOCAL = Principal("local")
WAIT_S = 60.0
ADD = ("counted_add", {"a": 5, "b": 3})
BOOK = ("counted_book", {"boat": "Ada"})


async def followed(agent: Agent, run_id: str, model: ModelServer, database: Database) -> list[dict[str, Any]]:
    """Every event of a run; the database goes at its first word, and comes back when that is told."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(WAIT_S):
        async for event in agent.runs.events(LOCAL, run_id):
            found.append(event)
            if event["type"] == "token" and [e["type"] for e in found].count("token") == 1:
                await database.goes()
                model.release()
            if event["type"] == "notice":
                assert event["code"] == "storage_unavailable"
                await database.comes_back()
    return found


async def test_st6_a_background_run_outlives_a_database_that_is_away_and_makes_no_call_twice(
    agent: Agent, model_server: ModelServer, counted: CountedTools, database: Database
) -> None:
    model_server.script(calls(BOOK, text="one moment please", hang_after=1), say("It is booked."))
    run = await agent.begin(TurnRequest(LOCAL, "book a berth", thread_id="t", background=True))
    events = await followed(agent, run.id, model_server, database)
    notices = [event for event in events if event["type"] == "notice"]
    assert [event["code"] for event in notices] == ["storage_unavailable"]
    assert events[-1]["type"] == "done"
    assert events[-1]["answer"] == "It is booked."
    assert counted.made == ["book Ada"]
    record = await agent.runs.get(LOCAL, run.id)
    assert (record.status, record.attempts, record.error) == ("done", 1, None)


async def test_st6_a_streamed_answer_is_stored_when_the_database_is_back(
    agent: Agent, model_server: ModelServer, database: Database
) -> None:
    model_server.script(say("one two three", hang_after=1))
    run = await agent.begin(TurnRequest(LOCAL, "count", thread_id="t"))
    events = await followed(agent, run.id, model_server, database)
    assert events[-1]["type"] == "done"
    assert events[-1]["answer"] == "one two three"
    page = await agent.threads.transcript(LOCAL, "t")
    assert [message["text"] for message in page["messages"]] == ["count", "one two three"]


async def test_st6_a_caller_that_waits_for_the_reply_is_told_and_the_thread_is_free_when_it_is_back(
    agent: Agent, model_server: ModelServer, database: Database
) -> None:
    model_server.script(say("one two three", hang_after=1))
    asked = asyncio.create_task(agent.ask("count", thread="t"))
    await asyncio.to_thread(model_server.wait_for_active, 1)
    await database.goes()
    model_server.release()
    with pytest.raises(StorageUnavailable, match="the database"):
        async with asyncio.timeout(WAIT_S):
            await asked
    await database.comes_back()
    async with asyncio.timeout(WAIT_S):
        while agent.runs.live:
            await asyncio.wait([run.task for run in agent.runs.live.values() if run.task])
    model_server.script(say("And again."))
    assert (await agent.ask("again", thread="t"))["answer"] == "And again."


async def test_st6_a_background_run_that_waited_too_long_is_queued_and_goes_on_by_itself(
    agent: Agent,
    model_server: ModelServer,
    counted: CountedTools,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("graph.turn.driver.OUTAGE_SECONDS", 0.0)
    model_server.script(calls(BOOK, text="one moment please", hang_after=1))
    model_server.script(calls(BOOK), say("It is booked."))
    run = await agent.begin(TurnRequest(LOCAL, "book a berth", thread_id="t", background=True))
    await followed(agent, run.id, model_server, database)
    record = await agent.runs.settled(run.id, timeout=WAIT_S)
    assert (record.status, record.attempts, record.error) == ("done", 2, None)
    # Where the first answer was stored after all, its call is made by who goes on, and so is the next one's.
    messages = (await agent.threads.checkpoints.at(LOCAL, "t")).values["messages"]
    booked = [message for message in messages if message.text == "booked for Ada"]
    assert counted.made == ["book Ada"] * len(booked)
    assert len(booked) == 1 or database.stores_late
    page = await agent.threads.transcript(LOCAL, "t")
    assert page["messages"][-1]["text"] == "It is booked."


async def test_st6_a_question_whose_call_was_not_stored_is_asked_by_the_next_attempt_and_can_be_answered(
    agent: Agent,
    model_server: ModelServer,
    counted: CountedTools,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("graph.turn.driver.OUTAGE_SECONDS", 0.0)
    model_server.script(calls(ADD, text="one moment please", hang_after=1))
    model_server.script(calls(ADD), say("It is 8."))
    run = await agent.begin(TurnRequest(LOCAL, "add 5 and 3", thread_id="t", background=True))
    events = await followed(agent, run.id, model_server, database)
    assert (await agent.runs.settled(run.id, timeout=WAIT_S)).attempts == 2
    assert "interrupt" not in [event["type"] for event in events], "nobody could go on with its answer"
    (asked,) = (await agent.threads.state(LOCAL, "t"))["interrupts"]
    reply, made = await agent.ask(thread="t", resume={asked["id"]: {"approve": True}}), 1
    if reply["interrupts"]:
        # The first answer was stored after all: its call is made, and so is the next one's.
        assert database.stores_late
        reply, made = await agent.ask(thread="t", resume={reply["interrupts"][0]["id"]: {"approve": True}}), 2
    assert (reply["status"], reply["answer"]) == ("done", "It is 8.")
    assert counted.made == ["add 5 3"] * made


async def test_st6_a_stream_that_waited_too_long_ends_with_an_error_that_can_be_tried_again(
    agent: Agent, model_server: ModelServer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.turn.driver.OUTAGE_SECONDS", 0.0)
    model_server.script(calls(BOOK, text="one moment please", hang_after=1))
    run = await agent.begin(TurnRequest(LOCAL, "book a berth", thread_id="t"))
    last = (await followed(agent, run.id, model_server, database))[-1]
    assert (last["type"], last["code"], last["retryable"]) == ("error", "storage_unavailable", True)
    model_server.script(say("And again."))
    assert (await agent.ask("again", thread="t"))["answer"] == "And again."
