"""Build the reply of a turn from what its run has gathered."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, ToolMessage

from graph.flow.messages import answer_in, call_record
from graph.runs.record import Outcome, Run
from nodes.rag import cite


def reply_of(run: Run, outcome: Outcome, *, status: str) -> dict[str, Any]:
    """The output of design.md's contract."""
    answer = _answer(outcome, status=status)
    return {
        "answer": answer,
        "status": status,
        "thread_id": run.thread_id,
        "run_id": run.id,
        "citations": cite(answer, outcome.documents),
        "files": outcome.files,
        "tool_calls": _calls(outcome),
        "interrupts": outcome.interrupts,
        "usage": {
            "input_tokens": outcome.input_tokens,
            "output_tokens": outcome.output_tokens,
            "model": outcome.model,
        },
    }


def bare_reply(thread_id: str, run_id: str, *, status: str, answer: str = "") -> dict[str, Any]:
    """The output of a run that was ended by somebody who does not execute it."""
    return {
        "answer": answer,
        "status": status,
        "thread_id": thread_id,
        "run_id": run_id,
        "citations": [],
        "files": [],
        "tool_calls": [],
        "interrupts": [],
        "usage": {"input_tokens": 0, "output_tokens": 0, "model": ""},
    }


def _calls(outcome: Outcome) -> list[dict[str, Any]]:
    """Every call of the run once, also those of its attempts before a pause, in the model's order."""
    made = [call_record(m) for m in outcome.messages if isinstance(m, ToolMessage)]
    found = {call["id"]: call for call in [*outcome.earlier_calls, *made]}
    places = {call_id: place for place, call_id in enumerate(outcome.asked)}
    return sorted(found.values(), key=lambda call: places.get(call["id"], -1))


def _answer(outcome: Outcome, *, status: str) -> str:
    if outcome.streamed and status != "done":
        return "".join(outcome.streamed)
    said = any(isinstance(message, AIMessage) for message in outcome.messages)
    return answer_in(outcome.messages) if said else outcome.earlier_answer
