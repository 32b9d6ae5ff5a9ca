"""What every ChatModel promises: one suite over the fake, the offline model, and a real endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from nodes.llm import ChatModel
from nodes.llm.adapters.offline import OfflineModel
from nodes.llm.adapters.openai import OpenAIModel
from nodes.llm.assembly import Assembly
from nodes.llm.errors import ModelUnavailable
from nodes.llm.fake import ScriptedModel
from nodes.llm.settings import ModelEntry
from tests.kit.model_server import ModelServer, call

NUMBERS = {"a": {"type": "number"}, "b": {"type": "number"}}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {"type": "object", "properties": NUMBERS, "required": ["a", "b"]},
    },
}


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer(default="It is 8.") as running:
        yield running


@pytest.fixture(params=["fake", "offline", "openai"])
async def chat(request: pytest.FixtureRequest, server: ModelServer) -> AsyncIterator[ChatModel]:
    server.reset()
    server.script(call("add", {"a": 5, "b": 3}))
    made: dict[str, Any] = {
        "fake": lambda: ScriptedModel(("add", '{"a": 5, "b": 3}'), "It is 8."),
        "offline": OfflineModel,
        "openai": lambda: OpenAIModel("main", ModelEntry(model_name="m", model_url=server.url)),
    }
    model: ChatModel = made[request.param]()
    yield model
    await model.aclose()


async def answer(
    chat: ChatModel, messages: list[BaseMessage], **options: Any
) -> tuple[list[AIMessageChunk], Assembly]:
    assembly, chunks = Assembly(), []
    async for chunk in chat.stream(messages, **options):
        chunks.append(chunk)
        assembly.add(chunk)
    return chunks, assembly


async def test_a_tool_is_called_and_its_result_is_said(chat: ChatModel) -> None:
    messages: list[BaseMessage] = [SystemMessage("Be brief."), HumanMessage("What is 5 + 3?")]
    _, first = await answer(chat, messages, tools=[ADD], temperature=0.0, user="ada")
    message: AIMessage = first.message()
    assert [(c["name"], c["args"]) for c in message.tool_calls] == [("add", {"a": 5, "b": 3})]
    assert first.finish == "tool_calls"
    result = ToolMessage("8", tool_call_id=message.tool_calls[0]["id"] or "")
    chunks, second = await answer(chat, [*messages, message, result], tools=[ADD])
    assert "8" in second.text
    assert len([c for c in chunks if c.content]) > 1
    assert second.finish == "stop"
    assert second.usage is not None
    assert second.usage["output_tokens"] > 0


async def test_ping_names_what_is_served(chat: ChatModel) -> None:
    assert await chat.ping()


async def test_an_unreachable_endpoint_is_unavailable() -> None:
    gone: list[ChatModel] = [
        OpenAIModel("main", ModelEntry(model_name="m", model_url="http://127.0.0.1:9/v1")),
        ScriptedModel(ModelUnavailable("gone")),
    ]
    for chat in gone:
        with pytest.raises(ModelUnavailable):
            await chat.ping()
        with pytest.raises(ModelUnavailable):
            await answer(chat, [HumanMessage("x")])
        await chat.aclose()
