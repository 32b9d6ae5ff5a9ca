"""Whether a call may run: the run's mode, or a person's word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langgraph.types import interrupt

from nodes.mcp_tools.executor import Target


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` is what the person said, or why nobody was asked."""

    approved: bool
    reason: str = ""


def decide(call: Mapping[str, Any], target: Target, mode: str) -> Decision:
    """Approve, refuse, or pause the run until a person decides.

    Args:
        mode: "ask", "auto" (approve all) or "deny" (refuse all that would need a word).
    """
    if target.tool is None or not target.approval or mode == "auto":
        return Decision(True)
    if mode == "deny":
        return Decision(False, "this run refuses tools that need approval")
    return read_answer(interrupt(_question(call, target)))


def _question(call: Mapping[str, Any], target: Target) -> dict[str, Any]:
    shown = {
        "id": call.get("id"),
        "server": target.server,
        "tool": target.name,
        "arguments": call.get("args") or {},
    }
    return {"kind": "approval", "call": shown, "text": f"May {target.server} run '{target.name}'?"}


def read_answer(answer: object) -> Decision:
    """`true`, or `{"approve": true, "reason": "..."}`; everything else refuses."""
    if isinstance(answer, bool):
        return Decision(answer)
    if isinstance(answer, Mapping):
        reason = answer.get("reason")
        return Decision(answer.get("approve") is True, str(reason) if reason else "")
    return Decision(False, "the answer was not understood")
