"""What tests of the LangGraph wire say and read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

GRAPH = "waystation"


def asks(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"type": "human", "content": text, **more}]}


def turn_of(text: str, **more: Any) -> dict[str, Any]:
    """The body of a run that says this."""
    return {"assistant_id": GRAPH, "input": {"messages": [{"role": "user", "content": text}]}, **more}


def texts(values: Any) -> list[str]:
    return [str(message["content"]) for message in values["messages"]]


async def parts_of(stream: AsyncIterator[Any]) -> list[Any]:
    return [part async for part in stream]


def named(parts: list[Any], name: str) -> list[Any]:
    return [part.data for part in parts if part.event == name]
