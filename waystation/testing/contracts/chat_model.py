"""What every ChatModel promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from nodes.llm import ChatModel
from nodes.llm.assembly import Assembly
from nodes.llm.pieces import Chunk

NUMBERS = {"a": {"type": "number"}, "b": {"type": "number"}}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {"type": "object", "properties": NUMBERS, "required": ["a", "b"]},
    },
}


class ChatModelContract:
    """Give the fixture `chat`: a model that, asked for 5 + 3, calls the tool `add` and then says what is 8.

    It is closed here.
    """

    @pytest.fixture(autouse=True)
    async def _closed(self, chat: ChatModel) -> AsyncIterator[None]:
        yield
        await chat.aclose()

    async def test_a_tool_is_called_and_its_result_is_said(self, chat: ChatModel) -> None:
        messages: list[BaseMessage] = [SystemMessage("Be brief."), HumanMessage("What is 5 + 3?")]
        _, first = await answer(chat, messages, tools=[ADD], sampling={"temperature": 0.0}, user="ada")
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

    async def test_ping_names_what_is_served(self, chat: ChatModel) -> None:
        assert await chat.ping()


async def answer(
    chat: ChatModel, messages: list[BaseMessage], *, into: Assembly | None = None, **options: Any
) -> tuple[list[Chunk], Assembly]:
    """A whole stream: its chunks, and what they add up to."""
    assembly, chunks = into or Assembly(), list[Chunk]()
    async for chunk in chat.stream(messages, **options):
        chunks.append(chunk)
        assembly.add(chunk)
    return chunks, assembly
