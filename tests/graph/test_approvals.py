"""Tools that need a person's word: the turn pauses, and goes on with the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.access import Principal
from core.errors import InvalidInput
from graph import Agent
from graph.errors import NothingToResume, ThreadWaiting
from waystation.testing.agents import open_agent

LOCAL = Principal("local")


@pytest.fixture(scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    folder = tmp_path_factory.mktemp("agent")
    plugin = folder / "home" / "plugins" / "sums"
    plugin.mkdir(parents=True)
    (plugin / "plugin.json").write_text(
        '{"name": "sums", "version": "1", "description": "Adds numbers.", "server": "server.py",'
        ' "require_approval": ["add"]}'
    )
    (plugin / "server.py").write_text(
        "from mcp.server.fastmcp import FastMCP\n"
        "app = FastMCP('sums')\n"
        "@app.tool(description='Add two numbers: the sum of a plus b.')\n"
        "def add(a: float, b: float) -> str:\n"
        "    return f'{a + b:g}'\n"
        "app.run()\n"
    )
    async with open_agent(folder, mcp={"bundled": False}) as agent:
        yield agent


async def test_the_turn_pauses_and_goes_on_when_the_person_approves(agent: Agent) -> None:
    events = [event async for event in agent.stream("What is 5 plus 3?", thread="yes")]
    (interrupt,) = [event for event in events if event["type"] == "interrupt"]
    assert interrupt["kind"] == "approval"
    assert (interrupt["call"]["server"], interrupt["call"]["tool"]) == ("sums", "add")
    assert events[-1]["status"] == "interrupted"
    assert events[-1]["interrupts"][0]["id"] == interrupt["id"]
    assert (await agent.threads.get(LOCAL, "yes"))["status"] == "interrupted"
    assert (await agent.threads.state(LOCAL, "yes"))["interrupts"][0]["id"] == interrupt["id"]

    reply = await agent.ask(thread="yes", resume={interrupt["id"]: {"approve": True}})
    assert reply["status"] == "done"
    assert "8" in reply["answer"]
    assert (await agent.threads.get(LOCAL, "yes"))["status"] == "idle"


async def test_a_refusal_is_told_to_the_model_and_the_tool_does_not_run(agent: Agent) -> None:
    await agent.ask("What is 5 plus 3?", thread="no")
    reply = await agent.ask(thread="no", resume={"approve": False, "reason": "not today"})
    assert reply["status"] == "done"
    assert [c["status"] for c in reply["tool_calls"]] == ["denied"]
    assert "8" not in reply["answer"]


async def test_g6_a_caller_may_refuse_beforehand_and_not_approve(agent: Agent) -> None:
    asked = await agent.ask("What is 5 plus 3?", approval="auto")
    assert (asked["status"], asked["tool_calls"]) == ("interrupted", [])
    assert "approval: auto does not count here" in asked["interrupts"][0]["detail"]
    denied = await agent.ask("What is 5 plus 3?", approval="deny")
    assert [c["status"] for c in denied["tool_calls"]] == ["denied"]


async def test_a_new_message_instead_of_an_answer_is_refused_unless_it_takes_its_place(agent: Agent) -> None:
    asked = await agent.ask("What is 5 plus 3?", thread="instead")
    with pytest.raises(ThreadWaiting, match="on_busy=interrupt"):
        await agent.ask("Who are you?", thread="instead")
    reply = await agent.ask("Who are you?", thread="instead", on_busy="interrupt")
    assert reply["status"] == "done"
    record = await agent.runs.get(Principal("local"), asked["run_id"])
    assert (record.status, record.reason) == ("cancelled", "superseded")
    with pytest.raises(NothingToResume):
        await agent.ask(thread="instead", resume={"approve": True})


async def test_an_answer_without_a_question_or_of_the_wrong_form_is_refused(agent: Agent) -> None:
    await agent.ask("Who are you?", thread="plain")
    with pytest.raises(NothingToResume):
        await agent.ask(thread="plain", resume={"approve": True})
    await agent.ask("What is 5 plus 3?", thread="form")
    with pytest.raises(InvalidInput):
        await agent.ask(thread="form", resume={"nonsense": {"approve": True}})
    with pytest.raises(InvalidInput, match="thread_id"):
        await agent.ask(resume={"approve": True})


async def test_of_two_answers_at_once_one_resumes_the_turn(agent: Agent) -> None:
    await agent.ask("What is 5 plus 3?", thread="twice")
    results = await asyncio.gather(
        *(agent.ask(thread="twice", resume={"approve": True}) for _ in range(2)), return_exceptions=True
    )
    assert sum(isinstance(result, dict) for result in results) == 1
