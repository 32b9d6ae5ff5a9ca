"""A tool that asks in mid call: the run waits for a person, over a restart and by another replica."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal
from core.errors import InvalidInput
from graph import Agent
from graph.db.tables import receipts
from graph.errors import AlreadyAnswered
from waystation.testing.agents import open_agent
from waystation.testing.mcp_servers import PEER
from waystation.testing.model_server import ModelServer, call, calls, say

LOCAL = Principal("local")


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _fresh(model: ModelServer) -> None:
    model.reset()


@asynccontextmanager
async def replica(folder: Path, model: ModelServer) -> AsyncIterator[Agent]:
    """A process's worth of Waystation on the home in `folder`; another one opens it again."""
    servers = {"hotels": {"command": [sys.executable, "-P", str(PEER)]}}
    files = {"mcp.json": json.dumps(servers)}
    async with open_agent(folder, model_url=model.url, files=files, mcp={"bundled": False}) as agent:
        yield agent


async def asked(agent: Agent, thread: str, message: str = "Book a room") -> dict[str, Any]:
    """A turn up to its questions."""
    reply = await agent.ask(message, thread=thread)
    assert reply["status"] == "interrupted", reply
    return reply


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ({"action": "accept", "content": {"nights": 3}}, "Rome: 3 nights"),
        ({"action": "decline"}, "not booked: decline"),
        ({"action": "cancel"}, "not booked: cancel"),
    ],
)
@pytest.mark.always
async def test_a_question_waits_over_a_restart_and_another_replica_takes_its_answer(
    tmp_path: Path, model: ModelServer, answer: dict[str, Any], result: str
) -> None:
    log = tmp_path / "log"
    model.script(call("hotels_book", {"place": "Rome", "log": str(log)}), say("All done."))
    async with replica(tmp_path, model) as agent:
        reply = await asked(agent, "trip")
        (question,) = reply["interrupts"]
        assert (question["kind"], question["detail"]) == ("elicitation", "How many nights in Rome?")
        assert await kept_receipts(agent) == []

    async with replica(tmp_path, model) as other:
        (thread,) = await other.threads.list(LOCAL, status="interrupted")
        assert thread["waiting"] == [question]
        handle = await other.resume(LOCAL, reply["run_id"], {question["id"]: answer})
        ended = await handle.result()
        assert (ended["status"], ended["answer"], ended["run_id"]) == ("done", "All done.", reply["run_id"])
        (made,) = ended["tool_calls"]
        assert (made["tool"], made["status"]) == ("book", "ok")
    assert model.requests()[-1]["messages"][-1]["content"] == result
    booked = ["booked Rome"] if "content" in answer else []
    assert log.read_text().splitlines() == ["began Rome", "began Rome", *booked]


async def test_an_answer_that_does_not_fit_the_form_is_refused_and_the_question_waits_on(
    tmp_path: Path, model: ModelServer
) -> None:
    model.script(call("hotels_book", {"place": "Rome"}), say("All done."))
    async with replica(tmp_path, model) as agent:
        reply = await asked(agent, "trip")
        (question,) = reply["interrupts"]
        wrong = {"action": "accept", "content": {"nights": "many"}}
        with pytest.raises(InvalidInput, match="'nights': 'many' is not of type 'integer'"):
            await agent.resume(LOCAL, reply["run_id"], {question["id"]: wrong})
        right = {"action": "accept", "content": {"nights": 2}}
        ended = await (await agent.resume(LOCAL, reply["run_id"], {question["id"]: right})).result()
    assert ended["status"] == "done"
    assert model.requests()[-1]["messages"][-1]["content"] == "Rome: 2 nights"


async def test_two_questions_of_one_turn_are_answered_one_by_one_in_any_order(
    tmp_path: Path, model: ModelServer
) -> None:
    log = tmp_path / "log"
    wanted = [("hotels_book", {"place": place, "log": str(log)}) for place in ("Rome", "Bern")]
    model.script(calls(*wanted), say("All done."))
    async with replica(tmp_path, model) as agent:
        reply = await asked(agent, "trip")
        by_text = {question["detail"]: question["id"] for question in reply["interrupts"]}
        assert set(by_text) == {"How many nights in Rome?", "How many nights in Bern?"}
        late = {by_text["How many nights in Bern?"]: {"action": "accept", "content": {"nights": 5}}}
        half = await (await agent.resume(LOCAL, reply["run_id"], late)).result()
        assert half["status"] == "interrupted"
        (rest,) = half["interrupts"]
        assert rest["id"] == by_text["How many nights in Rome?"]
    async with replica(tmp_path, model) as other:
        answer = {rest["id"]: {"action": "decline"}}
        ended = await (await other.resume(LOCAL, reply["run_id"], answer)).result()
    assert ended["status"] == "done"
    told = {message["content"] for message in model.requests()[-1]["messages"] if message["role"] == "tool"}
    assert told == {"not booked: decline", "Bern: 5 nights"}
    assert [line for line in log.read_text().splitlines() if "booked" in line] == ["booked Bern"]


async def test_a_tool_may_ask_again_and_each_question_is_a_new_one(
    tmp_path: Path, model: ModelServer
) -> None:
    model.script(call("hotels_book", {"place": "Rome", "confirm": True}), say("All done."))
    async with replica(tmp_path, model) as agent:
        reply = await asked(agent, "trip")
        (first,) = reply["interrupts"]
        answer = {"action": "accept", "content": {"nights": 3}}
        half = await (await agent.resume(LOCAL, reply["run_id"], {first["id"]: answer})).result()
        (second,) = half["interrupts"]
        assert second["detail"] == "Really 3 nights?"
        with pytest.raises(AlreadyAnswered, match="has had its answer"):  # the same answer, sent twice
            await agent.resume(LOCAL, reply["run_id"], {first["id"]: answer})
        sure = {second["id"]: {"action": "accept", "content": {"sure": True}}}
        ended = await (await agent.resume(LOCAL, reply["run_id"], sure)).result()
    assert ended["status"] == "done"
    assert model.requests()[-1]["messages"][-1]["content"] == "Rome: 3 nights"


async def test_a_turn_that_may_ask_nobody_declines(tmp_path: Path, model: ModelServer) -> None:
    model.script(call("hotels_book", {"place": "Rome"}), say("All done."))
    async with replica(tmp_path, model) as agent:
        reply = await agent.ask("Book a room", thread="trip", approval="deny")
    assert reply["status"] == "done"
    assert model.requests()[-1]["messages"][-1]["content"] == "not booked: decline"


async def kept_receipts(agent: Agent) -> list[str]:
    engine = await agent.container.get(AsyncEngine)
    async with engine.connect() as db:
        return [row.call_id for row in await db.execute(select(receipts.c.call_id))]
