"""Messages as people and the transcript see them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

ROLES = {"human": "user", "ai": "assistant", "tool": "tool", "system": "system"}


def time_of(seconds: float) -> str:
    """Epoch seconds as people and machines are told a time: ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def text_of(message: BaseMessage) -> str:
    """The message's text without reasoning or images."""
    if isinstance(message.content, str):
        return message.content
    parts = [part if isinstance(part, str) else part.get("text", "") for part in message.content]
    return "".join(parts)


def extra_of(message: BaseMessage) -> dict[str, Any]:
    """What stands beside the text: the calls of an answer, the record of a tool's result."""
    if isinstance(message, AIMessage) and message.tool_calls:
        calls = [{"id": c["id"], "name": c["name"], "arguments": c["args"]} for c in message.tool_calls]
        return {"tool_calls": calls}
    if isinstance(message, ToolMessage):
        record = message.additional_kwargs.get("waystation", {})
        return {"tool_call_id": message.tool_call_id, "name": message.name, **record}
    return {}


def as_view(message: BaseMessage) -> dict[str, Any]:
    """One message as JSON."""
    role = ROLES.get(message.type, message.type)
    return {"id": message.id, "role": role, "text": text_of(message), **extra_of(message)}


def calls_of(messages: Iterable[BaseMessage]) -> list[str]:
    """Ids of the tool calls in these messages, in the order in which the model made them."""
    return [str(call["id"]) for m in messages if isinstance(m, AIMessage) for call in m.tool_calls]


def answer_in(messages: Sequence[BaseMessage]) -> str:
    """The text of the last answer among these; empty where the model still waits for tools."""
    last = next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)
    return text_of(last) if last and not last.tool_calls else ""


def in_order(messages: Iterable[BaseMessage], asked: Sequence[str]) -> list[BaseMessage]:
    """The messages with results in the order of their calls: they came in that of their ends."""
    places = {call_id: place for place, call_id in enumerate(asked)}

    def place(result: Any) -> int:
        return places.get(result.tool_call_id, len(places))

    found: list[BaseMessage] = []
    for are_results, group in groupby(messages, key=lambda message: isinstance(message, ToolMessage)):
        several = list(group)
        found += sorted(several, key=place) if are_results else several
    return found


def call_record(message: ToolMessage) -> dict[str, Any]:
    """A tool's result as the reply's `tool_calls` lists it."""
    record = message.additional_kwargs.get("waystation", {})
    return {
        "id": message.tool_call_id,
        "server": record.get("server", ""),
        "tool": record.get("tool", message.name or ""),
        "arguments": record.get("arguments", {}),
        "status": record.get("status", "ok"),
        "duration_ms": record.get("duration_ms", 0),
        **({"decision": record["decision"]} if "decision" in record else {}),
    }
