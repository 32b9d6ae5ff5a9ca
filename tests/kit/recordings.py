"""Recordings made by hand: small turns, without an agent that would have to run them first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from core.choices import Choices
from graph.replay.recording import (
    Before,
    Expected,
    RecordedAnswer,
    RecordedCall,
    RecordedRun,
    Recording,
    Retrieval,
    message_json,
)

CONFIG: dict[str, Any] = {
    "model": "scripted",
    "sources": ["harbour"],
    "servers": ["calculator"],
    "tools": None,
    "temperature": None,
    "max_steps": 25,
    "approval": "ask",
}


def asks(call_id: str, **arguments: Any) -> AIMessage:
    """An answer that asks for one sum."""
    return asks_for((call_id, arguments))


def asks_for(*calls: tuple[str, dict[str, Any]]) -> AIMessage:
    """An answer that asks for several sums at once."""
    listed = [{"id": call_id, "name": "calculator_add", "args": args} for call_id, args in calls]
    return AIMessage("", tool_calls=listed, id=f"ai-{calls[0][0]}")


def says(text: str) -> AIMessage:
    return AIMessage(text, id=f"ai-{text[:20]}")


def outcome(call_id: str, text: str, *, status: str = "ok", **arguments: Any) -> RecordedCall:
    """What `calculator_add` gave for these arguments."""
    record = {
        "server": "calculator",
        "tool": "add",
        "status": status,
        "duration_ms": 1,
        "arguments": arguments,
    }
    message = ToolMessage(
        text,
        tool_call_id=call_id,
        name="calculator_add",
        id=f"tool-{call_id}",
        additional_kwargs={"waystation": record},
    )
    return RecordedCall(id=call_id, name="calculator_add", arguments=arguments, message=message_json(message))


def recording(
    *messages: AIMessage,
    outcomes: Sequence[RecordedCall] = (),
    question: str = "What is 5 + 3?",
    status: Any = "done",
    error: dict[str, Any] | None = None,
    partial: str = "",
    documents: Sequence[dict[str, Any]] = (),
    before: Sequence[Any] = (),
) -> Recording:
    """A turn in which the model gave `messages` in order."""
    last = messages[-1] if messages else None
    answer = str(last.text) if last is not None and not last.tool_calls else partial
    calls = [
        {
            "id": o.id,
            "server": "calculator",
            "tool": "add",
            "arguments": o.arguments,
            "status": "ok",
            "duration_ms": 1,
        }
        for o in outcomes
    ]
    return Recording(
        recorded_at="2026-11-01T12:00:00+00:00",
        run=RecordedRun(id="r_1", thread_id="t1"),
        wished=Choices(),
        before=Before(messages=[message_json(message) for message in before]),
        message=message_json(HumanMessage(question, id="m_1")),
        config=CONFIG,
        offered=["calculator_add"],
        retrieval=Retrieval(origin="searched_again" if documents else "none", documents=list(documents)),
        answers=[RecordedAnswer(message=message_json(message)) for message in messages],
        outcomes=list(outcomes),
        expected=Expected(status=status, answer=answer, tool_calls=calls, error=error, partial=partial),
    )


def a_sum() -> Recording:
    """One tool call, and the answer after it."""
    return recording(asks("c1", a=5, b=3), says("5 + 3 = 8"), outcomes=[outcome("c1", "8", a=5, b=3)])
