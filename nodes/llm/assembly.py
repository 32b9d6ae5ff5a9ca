"""Chunks of a stream become one message; no tool call gets lost on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, AIMessageChunk, ToolCall
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCallChunk

from nodes.llm.models import MALFORMED, LLMChunk

# Shorter ids are counters: an answer outside the window may have used the same one.
_RANDOM_ID = 16
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(slots=True)
class _Call:
    index: int | None
    id: str = ""
    name: str = ""
    args: list[str] = field(default_factory=list)


class Assembly:
    """Collects the chunks of one answer.

    Args:
        taken: Ids of earlier tool calls. Some endpoints count from zero in every
            answer, and two calls with one id cannot be told apart.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[_Call] = []
        self.usage: UsageMetadata | None = None
        self.finish = ""
        self.served = ""

    @property
    def text(self) -> str:
        return "".join(self._text)

    def add(self, chunk: AIMessageChunk) -> LLMChunk | None:
        """Take in a chunk; what a reader sees of it, or None."""
        text = chunk.content if isinstance(chunk.content, str) else str(chunk.text)
        reasoning = str(chunk.additional_kwargs.get("reasoning_content") or "")
        if text:
            self._text.append(text)
        if reasoning:
            self._reasoning.append(reasoning)
        for part in chunk.tool_call_chunks:
            self._part(part)
        if chunk.usage_metadata:
            self.usage = chunk.usage_metadata
        self.finish = str(chunk.response_metadata.get("finish_reason") or self.finish)
        self.served = str(chunk.response_metadata.get("model_name") or self.served)
        return LLMChunk(text, reasoning) if text or reasoning else None

    def message(self) -> AIMessage:
        """The whole answer, with an id of its own and a unique id on every tool call."""
        return AIMessage(
            content=self.text,
            tool_calls=[self._finished(call) for call in self._calls],
            id=f"ai-{uuid4().hex}",
            usage_metadata=self.usage,
            response_metadata={"finish_reason": self.finish} if self.finish else {},
        )

    def _part(self, part: ToolCallChunk) -> None:
        call = self._open(part)
        call.id = call.id or part.get("id") or ""
        call.name = call.name or part.get("name") or ""
        call.args.append(part.get("args") or "")

    def _open(self, part: ToolCallChunk) -> _Call:
        """The call that the part goes on with, or a new one."""
        index = part.get("index")
        same = [c for c in self._calls if c.index == index] if index is not None else self._calls[-1:]
        known = same[-1] if same else None
        # A few endpoints send whole calls, all with index 0: another id means another call.
        other = bool(part.get("id") and part.get("name")) and known is not None and known.id != part.get("id")
        if known is None or other:
            known = _Call(index if isinstance(index, int) else None)
            self._calls.append(known)
        return known

    def _finished(self, call: _Call) -> ToolCall:
        keep = len(call.id) >= _RANDOM_ID and call.id not in self._taken
        call_id = call.id if keep else f"call-{uuid4().hex}"
        self._taken.add(call_id)
        name = _NOT_A_NAME.sub("_", call.name)[:64] or "unknown"
        return ToolCall(name=name, args=_arguments("".join(call.args)), id=call_id, type="tool_call")


def _arguments(raw: str) -> dict[str, Any]:
    """The arguments; what is no JSON object stands whole under MALFORMED, so that it is answered."""
    if not raw.strip():
        return {}
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {MALFORMED: raw}
    return found if isinstance(found, dict) else {MALFORMED: raw}
