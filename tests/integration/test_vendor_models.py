"""Turns on chat models of LangChain: its fakes as objects, and a vendor's package on the scripted server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import (
    BaseChatModel,
    FakeListChatModel,
    FakeMessagesListChatModel,
    GenericFakeChatModel,
    ParrotFakeChatModel,
)
from langchain_core.messages import AIMessage

from core.errors import WaystationError
from core.observability import REGISTRY
from graph import Agent
from tests.kit.counted_tools import CountedTools
from waystation.testing.agents import context_at, open_agent
from waystation.testing.model_server import ModelServer, call, refuse, say

SUM = AIMessage(
    "",
    tool_calls=[{"name": "calculator_evaluate", "args": {"expression": "5 + 3"}, "id": "call_1"}],
    usage_metadata={"input_tokens": 9, "output_tokens": 4, "total_tokens": 13},
)
SAID = AIMessage("It is 8.", usage_metadata={"input_tokens": 20, "output_tokens": 5, "total_tokens": 25})


@pytest.fixture(scope="module")
def running() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def server(running: ModelServer) -> ModelServer:
    running.reset()
    return running


@pytest.fixture(scope="module")
async def agent(running: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    quick = {
        "provider": "langchain_groq:ChatGroq",
        "model_name": "scripted-1",
        "model_url": running.url.removesuffix("/v1") + "/groq",
        "api_key": "${QUICK_KEY}",
        "fallbacks": ["offline"],
        "retries": 0,
        "input_price": 1.0,
    }
    files = {"models.yaml": json.dumps({"models": {"quick": quick}})}
    folder = tmp_path_factory.mktemp("vendor")
    CountedTools(folder / "home")
    context = context_at(folder, environ={"QUICK_KEY": "gsk-plain-words"}, files=files)
    async with Agent.open(context) as agent:
        yield agent


def fakes() -> dict[str, BaseChatModel]:
    return {
        "listed": FakeMessagesListChatModel(responses=[SUM, SAID]),
        "generic": GenericFakeChatModel(messages=iter([SUM, SAID]), disable_streaming=True),
    }


async def test_fakes_given_as_objects_answer_with_tools_and_words(tmp_path: Path) -> None:
    given = {**fakes(), "words": FakeListChatModel(responses=["Well met."]), "parrot": ParrotFakeChatModel()}
    async with Agent.open(context_at(tmp_path), models=given) as agent:
        for name in ("listed", "generic"):
            reply = await agent.ask("What is 5 + 3?", model=name)
            assert reply["answer"] == "It is 8."
            assert [(made["tool"], made["status"]) for made in reply["tool_calls"]] == [("evaluate", "ok")]
            assert reply["usage"] == {"input_tokens": 29, "output_tokens": 9, "model": name}
        spoken = [event async for event in agent.stream("Hello", model="words") if event["type"] == "token"]
        assert len(spoken) == len("Well met.")
        # What it gives back is the message of a person.
        assert (await agent.ask("Hello", model="parrot"))["answer"] == "Hello"


async def test_a_given_model_falls_back_and_is_fallen_back_to(tmp_path: Path) -> None:
    dry = GenericFakeChatModel(messages=iter([]))
    given = {
        "dry": {"provider": dry, "fallbacks": ["words"], "retries": 0},
        "words": FakeListChatModel(responses=["Well met."]),
        "alone": {"provider": dry, "retries": 0},
    }
    async with Agent.open(context_at(tmp_path), models=given) as agent:
        reply = await agent.ask("Hello", model="dry")
        assert (reply["answer"], reply["usage"]["model"]) == ("Well met.", "words")
        with pytest.raises(WaystationError, match=r"the model 'alone' gave its package no answer"):
            await agent.ask("Hello", model="alone")


async def test_a_vendor_package_calls_tools_asks_a_person_and_streams(
    server: ModelServer, agent: Agent
) -> None:
    server.script(call("counted_add", {"a": 5, "b": 3}), say("It is 8, then."))
    asked = await agent.ask("What is 5 + 3?", model="quick")
    assert asked["status"] == "interrupted"
    thread = asked["thread_id"]
    rest = [e async for e in agent.stream(thread=thread, resume={"approve": True}, model="quick")]
    assert rest[-1]["answer"] == "It is 8, then."
    assert [made["status"] for made in rest[-1]["tool_calls"]] == ["ok"]
    assert len([event for event in rest if event["type"] == "token"]) > 1
    (usage,) = [event for event in rest if event["type"] == "usage"]
    assert usage["model"] == "quick"
    assert usage["cost"] == pytest.approx(usage["input_tokens"] / 1_000_000)
    back = server.requests()[-1]["messages"]
    assert [message["role"] for message in back] == ["system", "user", "assistant", "tool"]
    assert back[-2]["tool_calls"][0]["id"] == back[-1]["tool_call_id"]
    assert server.headers()[-1]["authorization"] == "Bearer gsk-plain-words"
    samples = [sample for metric in REGISTRY.collect() for sample in metric.samples]
    labels = {"gen_ai_provider_name": "groq", "gen_ai_request_model": "scripted-1"}
    assert any(labels.items() <= sample.labels.items() for sample in samples)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_vendor_that_fails_is_tried_no_more_and_the_next_model_answers(
    server: ModelServer, agent: Agent, status: int
) -> None:
    server.script(refuse(status))
    reply = await agent.ask("Hello", model="quick")
    assert reply["usage"]["model"] == "offline"
    assert len(server.requests()) == 1


@pytest.mark.parametrize(
    ("status", "code"), [(400, "model_refused"), (401, "model_refused"), (404, "model_refused")]
)
async def test_a_refusal_of_a_vendor_has_our_code_and_no_secret(
    server: ModelServer, agent: Agent, status: int, code: str
) -> None:
    server.script(refuse(status))
    with pytest.raises(WaystationError) as caught:
        await agent.ask("What is 2 + 2?", model="quick")
    assert caught.value.code == code
    assert "quick" in caught.value.detail
    assert "sk-live" not in caught.value.detail
    assert "llm probe" not in caught.value.detail


async def test_an_answer_of_a_vendor_that_breaks_off_is_told(server: ModelServer, agent: Agent) -> None:
    server.script(say("one two three four", cut_after=2))
    with pytest.raises(WaystationError) as caught:
        await agent.ask("Count", model="quick")
    assert caught.value.code == "model_stream_cut"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"provider": "langchain_nowhere:ChatNowhere"}, "pip install langchain-nowhere"),
        ({"provider": "langchain_groq:ChatGrok"}, "did you mean 'ChatGroq'"),
        ({"provider": "langchain_core.messages:AIMessage"}, "is no chat model"),
        ({"provider": "langchain_groq"}, "package:Class"),
        ({"provider": "langchain_groq:ChatGroq", "parameters": {"temprature": 1}}, "mean 'temperature'"),
        ({"provider": "langchain_groq:ChatGroq", "client": "lean"}, "client says nothing beside provider"),
    ],
)
async def test_a_provider_that_cannot_be_used_stops_the_start(
    tmp_path: Path, entry: dict[str, Any], said: str
) -> None:
    with pytest.raises(WaystationError, match=r"models\.yaml") as caught:
        async with open_agent(tmp_path, files={"models.yaml": json.dumps({"models": {"mine": entry}})}):
            pass
    assert said in caught.value.detail
