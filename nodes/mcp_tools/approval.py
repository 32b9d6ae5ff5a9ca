"""Whether a call may run: the run's mode, or a person's word.

The question carries our own keys and LangChain's shape for a human in the loop
(`action_requests`, `review_configs`), so that Studio and other clients of that
shape can show it. An answer may come in our form or in the standard one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langgraph.types import interrupt

from nodes.mcp_tools.executor import Target

# Of the standard's decisions those that a tool call of ours knows: its arguments are not for editing,
# since the model's message, the receipt and the transcript would then tell of another call than was made.
DECISIONS = ("approve", "reject")
# Decisions of the standard shape, and of the one before it.
_YES = frozenset({"approve", "accept"})
_NO = frozenset({"reject", "ignore", "response"})


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
    arguments = call.get("args") or {}
    text = f"May {target.server} run '{target.name}'?"
    name = str(call.get("name") or target.name)
    return {
        "kind": "approval",
        "call": {
            "id": call.get("id"),
            "server": target.server,
            "tool": target.name,
            "arguments": arguments,
        },
        "text": text,
        "action_requests": [{"name": name, "args": arguments, "description": text}],
        "review_configs": [{"action_name": name, "allowed_decisions": list(DECISIONS)}],
    }


def read_answer(answer: object) -> Decision:
    """`true`, `{"approve": true, "reason": "..."}` or the standard's answer; everything else refuses."""
    if isinstance(answer, bool):
        return Decision(answer)
    ours = standard_answer(answer) or answer
    if not isinstance(ours, Mapping):
        return Decision(False, "the answer was not understood")
    reason = ours.get("reason")
    return Decision(ours.get("approve") is True, str(reason) if reason else "")


def standard_answer(answer: object) -> dict[str, Any] | None:
    """An answer of the standard shape in our form; None where it has no such shape.

    Known are `{"decisions": [{"type": "approve"}]}`, its decision by itself,
    and the older `[{"type": "accept", "args": null}]`.
    """
    decision = answer.get("decisions") if isinstance(answer, Mapping) and "decisions" in answer else answer
    if isinstance(decision, list):
        if len(decision) != 1:
            return None
        decision = decision[0]
    if not isinstance(decision, Mapping) or not isinstance(decision.get("type"), str):
        return None
    if decision["type"] in _YES:
        return {"approve": True}
    if decision["type"] in _NO:
        said = decision.get("message") or decision.get("args")
        return {"approve": False, **({"reason": said} if isinstance(said, str) and said else {})}
    return {
        "approve": False,
        "reason": f"'{decision['type'][:80]}' is no answer here; approve or reject the call as it is",
    }
