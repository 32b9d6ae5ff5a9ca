"""What a long conversation costs on its way to the model, against the client of the SDK."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from nodes.llm.adapters.chat import ChatEndpoint
from nodes.llm.settings import ModelEntry
from waystation.testing.model_server import ModelServer

pytestmark = pytest.mark.slow

TURNS = 500
TRIES = 5


def conversation(*, with_tools: bool) -> list[BaseMessage]:
    said: list[BaseMessage] = []
    for turn in range(TURNS):
        said.append(HumanMessage(f"Question {turn}: " + "what is the fee for a boat of nine metres? " * 4))
        if with_tools:
            call = {"name": "fees_find", "args": {"length": turn, "place": "North"}, "id": f"call{turn:05d}"}
            said.append(AIMessage("", tool_calls=[{**call, "type": "tool_call"}]))
            said.append(ToolMessage("Boats of nine metres pay fifteen euros.", tool_call_id=str(call["id"])))
        said.append(AIMessage(f"Answer {turn}: " + "Boats of eight metres and more pay fifteen euros. " * 6))
    return [*said, HumanMessage("And for ten metres?")]


async def least_cpu(call: Callable[[], Awaitable[None]]) -> float:
    """CPU seconds of this process for one call, the least of several."""
    await call()
    found = []
    for _ in range(TRIES):
        began = time.process_time()
        await call()
        found.append(time.process_time() - began)
    return min(found)


async def exhaust(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass


@pytest.mark.parametrize("with_tools", [False, True], ids=["words", "tools"])
async def test_500_turns_of_history_cost_at_most_a_twentieth_of_what_they_cost_the_sdk(
    model_server: ModelServer, *, with_tools: bool
) -> None:
    messages = conversation(with_tools=with_tools)
    ours = ChatEndpoint("main", ModelEntry(model_name="m", model_url=model_server.url))
    cost = await least_cpu(lambda: exhaust(ours.stream(messages)))
    await ours.aclose()
    async with httpx.AsyncClient(trust_env=False) as http:
        theirs = ChatOpenAI(
            model="m",
            base_url=model_server.url,
            api_key=SecretStr("x"),
            max_retries=0,
            http_async_client=http,
        )
        sdk = await least_cpu(lambda: exhaust(theirs.astream(messages)))
    assert cost * 20 <= sdk, f"{cost * 1000:.1f} and {sdk * 1000:.1f} ms"
