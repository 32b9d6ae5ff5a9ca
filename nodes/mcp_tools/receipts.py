"""What is told of a tool call, to stream, thread and reply; and its receipt.

A step of a graph runs again after a crash. A tool that changes things must not:
a receipt is written before a call and completed after it, and a call that has
an open one is not made again.
"""

from __future__ import annotations

import base64
import contextvars
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import ToolMessage

from nodes.mcp_tools.models import Artifact, ExecutionContext, Progress, ToolOutcome

Writer = Callable[[Any], None]
PROGRESS_SECONDS = 0.1  # a server may report thousands of steps; nobody reads more than ten a second
_SHOWN = 2000


def call_event(
    outcome_id: str,
    server: str,
    tool: str,
    arguments: Mapping[str, Any],
    decision: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    shown = {"id": outcome_id, "server": server, "tool": tool, "arguments": dict(arguments)}
    return {"type": "tool_call", **shown, **_decided(decision)}


def _decided(decision: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"decision": dict(decision)} if decision else {}


def result_event(outcome: ToolOutcome) -> dict[str, Any]:
    event = {
        "type": "tool_result",
        "id": outcome.call_id,
        "status": outcome.status,
        "content": outcome.text,
        "duration_ms": outcome.duration_ms,
        "files": [artifact.name for artifact in outcome.artifacts],
    }
    return {**event, "display": dict(outcome.display)} if outcome.display else event


def progress_to(write: Writer, call_id: str) -> Progress:
    """A progress callback that writes events, the last of a burst may be left out."""
    last = float("-inf")
    # It is called from the session's task, which has no turn; the writer finds its stream by the context.
    turn = contextvars.copy_context()

    def report(progress: float, total: float | None, message: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < PROGRESS_SECONDS and (total is None or progress < total):
            return
        last = now
        shown = {"id": call_id, "progress": progress, "total": total, "message": message}
        turn.run(write, {"type": "tool_progress", **shown})

    return report


def tool_message(outcome: ToolOutcome, name: str) -> ToolMessage:
    """The answer for the model. Its id comes from the call's: a repeated call replaces its message."""
    record = {
        "server": outcome.server,
        "tool": outcome.tool,
        "status": outcome.status,
        "duration_ms": outcome.duration_ms,
        "arguments": dict(outcome.arguments),
        "files": [artifact.name for artifact in outcome.artifacts],
        **_decided(outcome.decision),
    }
    return ToolMessage(
        content=_for_the_model(outcome),
        tool_call_id=outcome.call_id,
        name=name,
        id=f"tool-{outcome.call_id}",
        status="success" if outcome.status in ("ok", "answered") else "error",
        additional_kwargs={"waystation": record},
    )


def _for_the_model(outcome: ToolOutcome) -> str:
    """The result. A model that is not told of an edit takes its own arguments for those that ran."""
    if not outcome.decision or outcome.decision.get("type") != "edit":
        return outcome.text
    ran = json.dumps(outcome.arguments, ensure_ascii=False, default=str)
    shown = ran if len(ran) <= _SHOWN else f"{ran[: _SHOWN - 1]}…"
    return f"A person changed this call on purpose. It was made with {shown}.\n\n{outcome.text}"


def artifacts_of(outcome: ToolOutcome) -> list[dict[str, Any]]:
    return [
        {
            "id": artifact.id,
            "name": artifact.name,
            "media_type": artifact.media_type,
            "b64": base64.b64encode(artifact.data).decode(),
        }
        for artifact in outcome.artifacts
    ]


UNKNOWN = "interrupted, result unknown"


@dataclass(frozen=True, slots=True)
class Receipt:
    """`begun` before this attempt; `outcome` when that attempt came to its end."""

    begun: bool = False
    outcome: ToolOutcome | None = None


class NoReceipts:
    """Keeps none, where nothing else keeps runs either: every call is made."""

    async def begin(self, context: ExecutionContext) -> Receipt:
        return Receipt()

    async def end(self, context: ExecutionContext, outcome: ToolOutcome) -> None:
        return None

    async def forget(self, context: ExecutionContext) -> None:
        return None


def outcome_as_json(outcome: ToolOutcome) -> dict[str, Any]:
    """An outcome as a receipt keeps it, artifacts in base64."""
    return {
        "call_id": outcome.call_id,
        "server": outcome.server,
        "tool": outcome.tool,
        "arguments": dict(outcome.arguments),
        "status": outcome.status,
        "text": outcome.text,
        "duration_ms": outcome.duration_ms,
        "display": dict(outcome.display) if outcome.display else None,
        "artifacts": artifacts_of(outcome),
        # Left out where nobody decided: a process of the release before could not read it.
        **({"decision": dict(outcome.decision)} if outcome.decision else {}),
    }


def outcome_from_json(stored: Mapping[str, Any]) -> ToolOutcome:
    """The outcome again."""
    artifacts = tuple(
        Artifact(a["id"], a["name"], a["media_type"], base64.b64decode(a["b64"])) for a in stored["artifacts"]
    )
    return ToolOutcome(**{**stored, "artifacts": artifacts})
