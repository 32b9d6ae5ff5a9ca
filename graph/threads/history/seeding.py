"""A conversation that was held elsewhere, as lines of an exported thread: it comes in by the same door."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage

from core.foreign import as_bytes
from graph.flow.state import ROLES, extra_of, text_of
from graph.runs.lease import new_id, title_from
from graph.threads.history.forms import FORMAT, VERSION, message_as_json


async def as_lines(messages: Sequence[BaseMessage]) -> AsyncIterator[bytes]:
    """The lines of a thread that has these messages, each with an id of its own."""
    named = [message.model_copy(update={"id": new_id("m")}) for message in messages]
    for line in _lines(named):
        yield as_bytes(line) + b"\n"


def _lines(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    now = datetime.now(UTC).isoformat()
    first = next((text_of(message) for message in messages if isinstance(message, HumanMessage)), "")
    head = {"format": FORMAT, "version": VERSION, "id": "elsewhere", "title": title_from(first), "tags": []}
    return [
        {"type": "thread", **head, "created_at": now, "updated_at": now},
        *(_said(message, now) for message in messages),
        *({"type": "window", "message": message_as_json(message)} for message in messages),
        {"type": "state", "summary": "", "files": [], "unfinished": False},
        {"type": "end", "messages": len(messages), "files": 0, "window": len(messages)},
    ]


def _said(message: BaseMessage, now: str) -> dict[str, Any]:
    return {
        "type": "message",
        "id": message.id,
        "role": ROLES[message.type],
        "text": text_of(message),
        "extra": extra_of(message),
        "created_at": now,
    }
