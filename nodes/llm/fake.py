"""A chat model in memory: says what it was told to say."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk

from core.errors import WaystationError

Reply = str | tuple[str, str] | WaystationError


class ScriptedModel:
    """Plays its replies in order, then repeats the last.

    Args:
        replies: A text; a tool call as (name, JSON arguments); or an error to raise.
    """

    def __init__(self, *replies: Reply) -> None:
        self._replies = deque(replies or ("Scripted reply.",))
        self.seen: list[list[BaseMessage]] = []
        self.tools: list[Sequence[Mapping[str, Any]]] = []
        self.closed = False

    async def stream(
        self,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        sampling: Mapping[str, Any] = {},
        user: str = "",
    ) -> AsyncIterator[AIMessageChunk]:
        self.seen.append(list(messages))
        self.tools.append(tools)
        reply = self._replies.popleft() if len(self._replies) > 1 else self._replies[0]
        if isinstance(reply, WaystationError):
            raise reply
        if isinstance(reply, tuple):
            name, arguments = reply
            part = tool_call_chunk(name=name, args=arguments, id="", index=0)
            yield AIMessageChunk(content="", tool_call_chunks=[part])
            yield _end("tool_calls", len(messages), 1)
            return
        words = reply.split(" ")
        for index, word in enumerate(words):
            yield AIMessageChunk(content=word if index == 0 else f" {word}")
        yield _end("stop", len(messages), len(words))

    async def ping(self) -> list[str]:
        if isinstance(self._replies[0], WaystationError):
            raise self._replies[0]
        return ["scripted"]

    async def aclose(self) -> None:
        self.closed = True


def _end(reason: str, read: int, written: int) -> AIMessageChunk:
    usage = UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
    return AIMessageChunk(content="", response_metadata={"finish_reason": reason}, usage_metadata=usage)
