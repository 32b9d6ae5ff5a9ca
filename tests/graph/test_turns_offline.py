"""Whole turns with nothing configured: the offline model, the bundled tools, a local source."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from core.errors import InvalidInput, NotFound
from graph import Agent
from graph.errors import MessageTooLong, ThreadNotFound
from nodes.file_storage import FileManager
from nodes.mcp_tools import MCPToolManager
from nodes.mcp_tools.models import ServerState
from tests.kit.events import check_stream, kinds
from waystation.testing.agents import BUNDLED, HANDBOOK, context_at, open_agent

LOCAL = Principal("local")
SALES = "region,amount\nnorth,10.5\nsouth,4\nnorth,2\n"


@pytest.fixture(scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    async with open_agent(tmp_path_factory.mktemp("agent"), tools=BUNDLED) as agent:
        yield agent


async def test_a_sum_is_worked_out_by_the_calculator(agent: Agent) -> None:
    events = [event async for event in agent.stream("What is 5 + 3?", thread="sum")]
    check_stream(events)
    done = events[-1]
    assert done["status"] == "done"
    assert "8" in done["answer"]
    assert [(c["server"], c["status"]) for c in done["tool_calls"]] == [("calculator", "ok")]
    assert done["usage"]["model"] == "offline"
    for kind in ("run_started", "config", "tool_call", "tool_result", "token", "usage"):
        assert kind in kinds(events)
    assert (
        "".join(e["delta"] for e in events if e["type"] == "token").strip().endswith(done["answer"].strip())
    )


async def test_the_next_turn_knows_what_the_one_before_found(agent: Agent) -> None:
    await agent.ask("What is 5 + 3?", thread="follow")
    reply = await agent.ask("And doubled?", thread="follow")
    assert "16" in reply["answer"]


async def test_the_offline_model_says_once_per_thread_that_it_is_one(agent: Agent) -> None:
    first = [e["code"] async for e in agent.stream("What is 1 + 1?", thread="once") if e["type"] == "notice"]
    second = [e["code"] async for e in agent.stream("What is 2 + 2?", thread="once") if e["type"] == "notice"]
    assert first == ["offline_model"]
    assert second == []


async def test_an_answer_from_the_handbook_quotes_it_word_for_word(agent: Agent) -> None:
    reply = await agent.ask("For how long is a berth reserved at most?")
    (citation, *_) = reply["citations"]
    assert citation["source"] == "harbour"
    assert citation["document"] == "handbook.md"
    assert "fourteen days" in citation["quote"]
    assert citation["quote"] in HANDBOOK
    assert f"[{citation['n']}]" in reply["answer"]


async def test_a_question_that_nothing_answers_gets_an_honest_reply(agent: Agent) -> None:
    reply = await agent.ask("Who painted the ceiling of the chapel?")
    assert reply["citations"] == []
    assert reply["tool_calls"] == []
    assert "OPENAI_API_KEY" in reply["answer"]


async def test_a_total_of_an_uploaded_table_comes_with_a_file(agent: Agent) -> None:
    manager = await agent.container.get(FileManager)
    upload = await manager.put(LOCAL, "sales.csv", SALES.encode())
    reply = await agent.ask(
        "What is the total of amount by region in sales.csv?", thread="csv", files=[upload.key]
    )
    assert reply["status"] == "done"
    assert "12.5" in reply["answer"]
    (artifact, *_) = reply["files"]
    content = b"".join([chunk async for chunk in manager.open(LOCAL, artifact["key"])])
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert {row["region"]: float(list(row.values())[1]) for row in rows} == {"north": 12.5, "south": 4.0}
    kept = {file.name for file in await manager.list(LOCAL, thread="csv")}
    assert kept == {"sales.csv", artifact["name"]}


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"message": ""}, "invalid_input"),
        ({"message": "   "}, "invalid_input"),
        ({"message": "hi", "resume": {"approve": True}}, "invalid_input"),
        ({"message": "hi", "model": "nope"}, "unknown_model"),
        ({"message": "hi", "sources": ["nope"]}, "unknown_source"),
        ({"message": "hi", "tools": ["nope"]}, "unknown_tool"),
        ({"message": "hi", "thread": "a/b"}, "invalid_id"),
        ({"message": "hi", "thread": "x" * 65}, "invalid_id"),
        ({"message": "\ud800"}, "invalid_input"),
        ({"message": "a\x00b"}, "invalid_input"),
    ],
)
async def test_what_cannot_be_accepted_is_refused_before_anything_happens(
    agent: Agent, options: dict[str, Any], code: str
) -> None:
    before = await agent.threads.list(LOCAL)
    with pytest.raises(InvalidInput) as caught:
        await agent.ask(**options)
    assert caught.value.code == code
    assert await agent.threads.list(LOCAL) == before


async def test_a_message_over_the_limit_is_refused(agent: Agent) -> None:
    with pytest.raises(MessageTooLong, match="65536"):
        await agent.ask("x" * 70_000)


async def test_a_file_that_is_not_there_or_not_yours_is_not_found(agent: Agent) -> None:
    manager = await agent.container.get(FileManager)
    theirs = await manager.put(Principal("bob"), "secret.txt", b"secret")
    for key in ("f_nothing", theirs.key):
        with pytest.raises(NotFound):
            await agent.ask("What is in it?", files=[key])


async def test_somebody_elses_thread_does_not_exist(agent: Agent) -> None:
    await agent.ask("What is 1 + 1?", thread="mine", user="ada")
    with pytest.raises(ThreadNotFound):
        await agent.ask("What is 1 + 1?", thread="mine", user="bob")
    bob = Principal("bob")
    for look in (agent.threads.get, agent.threads.state, agent.threads.history, agent.threads.transcript):
        with pytest.raises(ThreadNotFound):
            await look(bob, "mine")
    with pytest.raises(ThreadNotFound):
        await agent.threads.delete(bob, "mine")


async def test_a_thread_is_still_there_when_the_agent_opens_again(tmp_path: Path) -> None:
    async with open_agent(tmp_path) as agent:
        await agent.ask("What is 5 + 3?", thread="t1")
    async with open_agent(tmp_path) as agent:
        reply = await agent.ask("And doubled?", thread="t1")
        assert "16" in reply["answer"]
        page = await agent.threads.transcript(LOCAL, "t1")
        assert [m["text"] for m in page["messages"] if m["role"] == "user"] == [
            "What is 5 + 3?",
            "And doubled?",
        ]
        assert (await agent.threads.get(LOCAL, "t1"))["status"] == "idle"


async def test_who_only_looks_starts_no_tool_server_and_a_turn_starts_them_still(tmp_path: Path) -> None:
    async with Agent.open(context_at(tmp_path), idle=True) as agent:
        manager = await agent.container.get(MCPToolManager)
        assert await agent.threads.list(Principal("local")) == []
        assert {status.state for status in manager.status().values()} == {ServerState.IDLE}
        assert (await agent.ask("What is 5 + 3?"))["answer"] == "5 + 3 = 8"
