"""Receipts of tool calls: what is known of a call that may have been made before.

A step of a graph runs again after a crash. A tool that changes things must not:
a receipt is written before a call and completed after it, and a call that has
an open one is not made again.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nodes.mcp_tools.models import Artifact, ExecutionContext, ToolOutcome
from nodes.mcp_tools.stream import artifacts_of

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
