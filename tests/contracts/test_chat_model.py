"""The suite of ChatModel over the fake, the offline model, and a real endpoint."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from pydantic import SecretStr

from nodes.llm import OFFLINE, ChatModel, Model
from nodes.llm.adapters import langchain
from nodes.llm.adapters.chat import ChatEndpoint
from nodes.llm.adapters.openai import OpenAIModel
from nodes.llm.assembly import Assembly
from nodes.llm.errors import ModelContextFull, ModelRefused, ModelUnavailable
from nodes.llm.fake import ScriptedModel
from nodes.llm.offline.model import connected
from nodes.llm.settings import LLMSettings, ModelEntry
from waystation.testing.contracts.chat_model import ADD, ChatModelContract, answer
from waystation.testing.model_server import ModelServer, call, refuse, say


class TestFake(ChatModelContract):
    @pytest.fixture
    def chat(self) -> ChatModel:
        return ScriptedModel(("add", '{"a": 5, "b": 3}'), "It is 8.")


class TestOffline(ChatModelContract):
    @pytest.fixture
    def chat(self) -> ChatModel:
        return connected(Model(OFFLINE), LLMSettings(), None)


CLIENTS = (ChatEndpoint, OpenAIModel)


class TestEndpoint(ChatModelContract):
    @pytest.fixture(params=CLIENTS)
    def chat(self, request: pytest.FixtureRequest, model_server: ModelServer) -> ChatModel:
        model_server.script(call("add", {"a": 5, "b": 3}), say("It is 8."))
        made: ChatModel = request.param("main", ModelEntry(model_name="m", model_url=model_server.url))
        return made


class TestVendor(ChatModelContract):
    @pytest.fixture
    def chat(self, model_server: ModelServer) -> ChatModel:
        model_server.script(call("add", {"a": 5, "b": 3}), say("It is 8."))
        url = model_server.url.removesuffix("/v1") + "/groq"
        entry = ModelEntry(
            provider="langchain_groq:ChatGroq", model_name="m", model_url=url, api_key=SecretStr("gsk-1")
        )
        return langchain.connected(Model("main", entry))


@pytest.mark.parametrize("client", CLIENTS)
async def test_what_was_chosen_stands_before_what_the_entry_says(
    client: Any, model_server: ModelServer
) -> None:
    entry = ModelEntry(model_name="m", model_url=model_server.url, temperature=0.1, top_p=0.8)
    chat: ChatModel = client("main", entry)
    await answer(chat, [HumanMessage("hi")])
    await answer(chat, [HumanMessage("hi")], sampling={"top_p": 0.25})
    await chat.aclose()
    sent = [(body["temperature"], body["top_p"]) for body in model_server.requests()]
    assert sent == [(0.1, 0.8), (0.1, 0.25)]


@pytest.mark.parametrize("client", CLIENTS)
async def test_of_two_limits_of_an_answer_the_lower_one_is_sent(
    client: Any, model_server: ModelServer
) -> None:
    entry = ModelEntry(model_name="m", model_url=model_server.url, max_tokens=9)
    chat: ChatModel = client("main", entry)
    for limit in (5, 50):
        await answer(chat, [HumanMessage("hi")], sampling={"max_tokens": limit})
    await chat.aclose()
    bodies = model_server.requests()
    assert [body.get("max_tokens") or body.get("max_completion_tokens") for body in bodies] == [5, 9]


async def test_an_unreachable_endpoint_is_unavailable() -> None:
    entry = ModelEntry(model_name="m", model_url="http://127.0.0.1:9/v1")
    gone: list[ChatModel] = [
        *(client("main", entry) for client in CLIENTS),
        ScriptedModel(ModelUnavailable("gone")),
    ]
    for chat in gone:
        with pytest.raises(ModelUnavailable):
            await chat.ping()
        with pytest.raises(ModelUnavailable):
            await answer(chat, [HumanMessage("x")])
        await chat.aclose()


@pytest.mark.parametrize("client", CLIENTS)
async def test_what_an_endpoint_wants_back_goes_back_through_either_client(
    client: type[ChatEndpoint | OpenAIModel], model_server: ModelServer
) -> None:
    entry = ModelEntry(model_name="m", model_url=model_server.url)
    chat = client("main", entry)
    model_server.script(
        call("add", {"a": 5, "b": 3}, reasoning="five and three", ids=["call_0"]),
        say("8", reasoning="done"),
        refuse(400, code="context_length_exceeded"),
        refuse(400, code="odd"),
    )
    kept = Assembly(profile=entry.kind, of=entry.of)
    _, first = await answer(chat, [HumanMessage("x")], into=kept, tools=[ADD])
    message = first.message()
    result = ToolMessage("8", tool_call_id=message.tool_calls[0]["id"] or "")
    _, second = await answer(chat, [HumanMessage("x"), message, result], tools=[ADD])
    assert second.message().additional_kwargs == {}
    asked, answered = model_server.requests()[-1]["messages"][1:]
    assert asked["reasoning_content"] == "five and three"
    assert asked["content"] is None
    assert asked["tool_calls"][0]["id"] == answered["tool_call_id"] == "call_0"
    with pytest.raises(ModelContextFull):
        await answer(chat, [HumanMessage("x")])
    with pytest.raises(ModelRefused, match="odd"):
        await answer(chat, [HumanMessage("x")])
    await chat.aclose()
