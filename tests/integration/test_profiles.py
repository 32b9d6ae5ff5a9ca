"""Whole turns with the profile of each known endpoint, on a server that holds to its rules."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from core.choices import Choices
from core.errors import WaystationError
from graph.agent import Agent
from graph.runs.record import TurnRequest
from nodes.llm.profiles import PROFILES, profile_for
from nodes.mcp_tools import MCPToolManager
from tests.kit.counted_tools import CountedTools
from tests.kit.http import client_of, served
from waystation.testing.agents import open_agent, write_config
from waystation.testing.endpoint_rules import RULES
from waystation.testing.model_server import ModelServer, call, calls, say

NAMES = sorted(RULES)
LOCAL = Principal("local")
# Known by their addresses alone; the others by `profile:`.
GUESSED = {"azure": "openai/deployments/m", "gemini": "v1/projects/p/endpoints/openapi"}
COUNTED = {"prompt_tokens": 100, "completion_tokens": 7}
LONGEST = 12_000
QUICK: dict[str, Any] = {"resilience": {"model": {"attempts": 1}}, "mcp": {"start_timeout_s": 60}}


def entries(server: ModelServer) -> dict[str, Any]:
    """A model for each endpoint, called as its rules are."""
    found: dict[str, Any] = {}
    for name in NAMES:
        url = server.at(name, GUESSED.get(name, "v1"))
        entry = {"model_name": "m", "model_url": url, "api_key": "test"}
        found[name] = entry if name in GUESSED else entry | {"profile": name}
    return found


@pytest.fixture(scope="module")
def running() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def server(running: ModelServer) -> ModelServer:
    running.reset()
    return running


@pytest.fixture(scope="module")
def places(running: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profiles")
    files = {"models.yaml": json.dumps({"models": entries(running)})}
    write_config(folder, sources=False, files=files)
    CountedTools(folder / "home")
    return folder


@asynccontextmanager
async def ready(places: Path) -> AsyncIterator[Agent]:
    """An agent whose tool server is up: a busy machine takes its time."""
    async with open_agent(places, **QUICK) as agent:
        await (await agent.container.get(MCPToolManager)).tools("counted")
        yield agent


@pytest.fixture(scope="module")
async def paused(running: ModelServer, places: Path) -> dict[str, dict[str, Any]]:
    """Turns that wait for a person, one for each endpoint, told by a service that has ended since."""
    found: dict[str, dict[str, Any]] = {}
    async with ready(places) as agent:
        for name in NAMES:
            sums = [(f"counted_{tool}", {"a": 5, "b": 3}) for tool in ("add", "times")]
            wanted = calls(*sums, reasoning="Sum first.")
            running.script(wanted)
            try:
                found[name] = await agent.ask("5 + 3?", thread=f"paused-{name}", model=name)
            except WaystationError as error:  # it fails the test of that endpoint and no other
                found[name] = {"error": error.detail, "interrupts": []}
    return found


@pytest.fixture(scope="module")
async def agent(paused: dict[str, dict[str, Any]], places: Path) -> AsyncIterator[Agent]:
    async with ready(places) as agent:
        yield agent


async def said(agent: Agent, name: str, thread: str, message: str = "Hello") -> dict[str, Any]:
    """The reply to a message, by the endpoint of that name."""
    reply = await agent.ask(message, thread=f"{thread}-{name}", model=name)
    assert reply["status"] == "done", reply
    return reply


def test_there_is_a_profile_for_each_endpoint_with_rules_and_the_rest_is_guessed() -> None:
    assert {*NAMES, "default"} == {*PROFILES}
    for name, path in GUESSED.items():
        assert profile_for("", f"http://127.0.0.1:9/{name}/{path}").name == name


@pytest.mark.parametrize("name", NAMES)
async def test_a_pause_outlives_a_restart(
    agent: Agent, running: ModelServer, paused: dict[str, dict[str, Any]], name: str
) -> None:
    assert len(paused[name]["interrupts"]) == 2, paused[name]
    running.script(say("8 and 15."))
    words = {asked["id"]: {"approve": True} for asked in paused[name]["interrupts"]}
    reply = await agent.ask(thread=f"paused-{name}", model=name, resume=words)
    assert (reply["status"], reply["answer"]) == ("done", "8 and 15.")
    assert sorted(c["tool"] for c in reply["tool_calls"]) == ["add", "times"]
    running.script(say("Still 8."))
    assert (await said(agent, name, "paused", "Sure?"))["answer"] == "Still 8."


@pytest.mark.parametrize("name", NAMES)
async def test_plain_turns_are_answered_and_counted_once(
    agent: Agent, server: ModelServer, name: str
) -> None:
    for answer in ("Hello there.", "Once more."):
        server.script(say(answer, usage=COUNTED))
        reply = await said(agent, name, "plain")
        assert reply["answer"] == answer
        assert (reply["usage"]["input_tokens"], reply["usage"]["output_tokens"]) == (100, 7)


@pytest.mark.parametrize("name", NAMES)
async def test_one_tool_is_called(agent: Agent, server: ModelServer, name: str) -> None:
    server.script(call("counted_book", {"boat": "Möwe"}), say("Booked."), match="one")
    reply = await said(agent, name, "one", "book one")
    assert reply["answer"] == "Booked."
    assert [(c["tool"], c["arguments"], c["status"]) for c in reply["tool_calls"]] == [
        ("book", {"boat": "Möwe"}, "ok")
    ]
    assert (await said(agent, name, "one", "thanks"))["answer"] == "Scripted reply."


@pytest.mark.parametrize("name", NAMES)
async def test_several_tools_are_called_at_once_and_none_is_lost(
    agent: Agent, server: ModelServer, name: str
) -> None:
    wanted = [("counted_book", {"boat": "a"}), ("counted_book", {"boat": "b"}), ("counted_look", {})]
    server.script(calls(*wanted, text="All three. "), say("Done."), match="three")
    reply = await said(agent, name, "three", "book three")
    assert sorted(str(c["arguments"]) for c in reply["tool_calls"]) == [
        "{'boat': 'a'}",
        "{'boat': 'b'}",
        "{}",
    ]
    assert {c["status"] for c in reply["tool_calls"]} == {"ok"}
    assert reply["answer"].endswith("Done.")
    assert (await said(agent, name, "three", "thanks"))["answer"] == "Scripted reply."


@pytest.mark.parametrize("name", NAMES)
async def test_reasoning_with_tools_comes_back_as_the_endpoint_wants_it(
    agent: Agent, server: ModelServer, name: str
) -> None:
    for number in (1, 2):
        server.script(
            call("counted_book", {"boat": f"no {number}"}, reasoning="Let me book it. "),
            call("counted_look", {}, reasoning="Is it there? "),
            say(f"Booked {number}.", reasoning="There it is."),
            match=f"book {number}",
        )
        asked = agent.stream(f"book {number}", thread=f"reason-{name}", model=name)
        events = [event async for event in asked]
        assert events[-1]["type"] == "done", events[-1]
        assert events[-1]["answer"] == f"Booked {number}."
        thought = "".join(e.get("delta", e.get("text", "")) for e in events if e["type"] == "reasoning")
        assert thought == "Let me book it. Is it there? There it is."


@pytest.mark.parametrize("name", NAMES)
async def test_a_conversation_that_is_too_long_goes_on_without_its_oldest_turns(
    agent: Agent, server: ModelServer, name: str
) -> None:
    server.configure(context=LONGEST)
    for number in range(3):
        assert (await said(agent, name, "long", f"{number} " + "word " * 800))["answer"] == "Scripted reply."
    assert (await said(agent, name, "long", "short now"))["answer"] == "Scripted reply."


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ollama"])
async def test_a_message_that_is_too_long_by_itself_is_refused_and_does_not_poison_the_thread(
    agent: Agent, server: ModelServer, name: str
) -> None:
    server.configure(context=LONGEST)
    await said(agent, name, "huge")
    events = [e async for e in agent.stream("word " * 4000, thread=f"huge-{name}", model=name)]
    assert (events[-1]["type"], events[-1].get("code")) == ("error", "model_context_full")
    assert (await said(agent, name, "huge", "short now"))["answer"] == "Scripted reply."


@pytest.mark.parametrize("name", NAMES)
async def test_the_message_after_a_cancelled_answer_is_answered(
    agent: Agent, server: ModelServer, name: str
) -> None:
    await said(agent, name, "cancel")
    for script in (say("one two three", hang_after=2), call("counted_look", {}, text="so ", hang_after=1)):
        server.script(script)
        run = await agent.begin(
            TurnRequest(LOCAL, "Count", thread_id=f"cancel-{name}", choices=Choices(model=name))
        )
        await asyncio.to_thread(server.wait_for_active, 1)
        await run.cancel()
        assert (await run.result())["status"] == "cancelled"
        server.release()
        await asyncio.to_thread(server.wait_for_active, 0)
    assert (await said(agent, name, "cancel", "and now?"))["answer"] == "Scripted reply."


async def test_over_http_turns_with_tools_are_answered_too(agent: Agent, server: ModelServer) -> None:
    async with served(agent) as base, client_of(base) as client:
        for name in ("deepseek", "gemini", "mistral"):
            server.script(call("counted_book", {"boat": "x"}, reasoning="Book it."), say("Booked."))
            for expected in ("Booked.", "Scripted reply."):
                chosen = {"model": name, "thread_id": f"http-{name}"}
                body = {"input": {"message": "book"}, "config": {"configurable": chosen}}
                answer = await client.post("/agent/invoke", json=body)
                assert answer.status_code == 200, answer.text
                assert answer.json()["output"]["answer"] == expected
