"""Whether a call may run, and as what: the run's mode, or a person's word.

The question carries our own keys and LangChain's shape for a human in the loop
(`action_requests`, `review_configs`), so that Studio and other clients of that
shape can show it. `answers` reads what comes back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langgraph.types import interrupt

from nodes.mcp_tools.answers import APPROVAL, DECISIONS, Unreadable, read_again
from nodes.mcp_tools.arguments import MALFORMED, same_json
from nodes.mcp_tools.catalogue import function_schema
from nodes.mcp_tools.executor import Target

AT_MOST = 20  # answers to one question that cannot be taken; then the call is refused
_SCHEMA_BYTES = 32_768
FIRM = "whoever runs this service wants a person asked, so approval: auto does not count here"

Check = Callable[[Mapping[str, Any]], str]
"""Why a call cannot be made with these arguments; empty when it can."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a call.

    Args:
        kind: `respond`: the person's text is the result, and nothing runs.
        text: What the person said, or why nobody was asked.
        arguments: With `edit`: what the call runs with.
        asked: Whether a person decided.
    """

    kind: Literal["approve", "edit", "reject", "respond"] = "approve"
    text: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    asked: bool = False

    @property
    def approved(self) -> bool:
        return self.kind in ("approve", "edit")

    def applied(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """The call as it runs."""
        return {**call, "args": dict(self.arguments)} if self.kind == "edit" else dict(call)

    def record(self, call: Mapping[str, Any], by: str) -> dict[str, Any] | None:
        """Who decided what, for everybody who reads the thread later; None where nobody was asked."""
        if not self.asked:
            return None
        told: dict[str, Any] = {"type": self.kind, "by": by}
        if self.kind == "edit":
            return {**told, "before": dict(call.get("args") or {}), "after": dict(self.arguments)}
        return {**told, "reason": self.text} if self.text and self.kind == "reject" else told


def decide(
    call: Mapping[str, Any], target: Target, mode: str, check: Check = lambda arguments: ""
) -> Decision:
    """Approve, refuse, or pause the run until a person decides.

    Args:
        mode: "ask", "auto" (approve what the operator leaves to callers) or "deny" (refuse all that
            would need a word).
        check: Judges edited arguments.
    """
    arguments = call.get("args") or {}
    # A call whose arguments are no object cannot be made: its model hears so, and nobody needs to be asked.
    if target.tool is None or not target.approval or MALFORMED in arguments:
        return Decision()
    if mode == "auto" and not target.firm:
        return Decision()
    if mode == "deny":
        return Decision("reject", "this run refuses tools that need approval")
    return _asked(_question(call, target, mode), arguments, check, target.hidden)


def _asked(
    question: dict[str, Any], arguments: Mapping[str, Any], check: Check, hidden: Sequence[str]
) -> Decision:
    problem = ""
    for _ in range(AT_MOST):
        said = interrupt(with_problem(question, problem), response_schema=_response(question))
        try:
            return _decision(read_again(question, said), arguments, check, hidden)
        except Unreadable as unreadable:
            problem = str(unreadable)
    return Decision("reject", f"no answer could be taken: {problem}")


def with_problem(question: dict[str, Any], problem: str) -> dict[str, Any]:
    """The question, once more where an answer could not be taken: it says why, also in its text."""
    if not problem:
        return question
    text = f"The answer was not taken: {problem.rstrip('.')}. {question['text']}"
    requests = [{**action, "description": text} for action in question["action_requests"]]
    return {**question, "text": text, "problem": problem, "action_requests": requests}


def _decision(
    answer: Mapping[str, Any], before: Mapping[str, Any], check: Check, hidden: Sequence[str]
) -> Decision:
    if "respond" in answer:
        return Decision("respond", answer["respond"], asked=True)
    if not answer["approve"]:
        return Decision("reject", answer.get("reason", ""), asked=True)
    if "arguments" not in answer:
        return Decision(asked=True)
    # What the service fills in is not a person's to change, and is not told as changed.
    edited = {name: value for name, value in answer["arguments"].items() if name not in hidden}
    # Clients of the standard form send an edit too when nothing was changed.
    if same_json(edited, {name: value for name, value in before.items() if name not in hidden}):
        return Decision(asked=True)
    if problem := check(edited):
        raise Unreadable(f"the edited call cannot be made: {problem}")
    return Decision("edit", arguments=edited, asked=True)


def _question(call: Mapping[str, Any], target: Target, mode: str) -> dict[str, Any]:
    arguments = call.get("args") or {}
    text = f"May {target.server} run '{target.name}'?"
    if mode == "auto":
        text = f"{text} ({FIRM})"
    name = str(call.get("name") or target.name)
    review: dict[str, Any] = {"action_name": name, "allowed_decisions": list(DECISIONS)}
    if schema := _schema(name, target):
        review["args_schema"] = schema
    return {
        "kind": APPROVAL,
        "call": {
            "id": call.get("id"),
            "server": target.server,
            "tool": target.name,
            "arguments": arguments,
        },
        "text": text,
        "asked": _fingerprint(target, arguments),
        "action_requests": [{"name": name, "args": arguments, "description": text}],
        "review_configs": [review],
    }


def _schema(name: str, target: Target) -> dict[str, Any]:
    """What edited arguments must fit, as models see it; empty where it is too large to be stored with it."""
    if target.tool is None:
        return {}
    shown: dict[str, Any] = function_schema(name, target.tool, hidden=target.hidden)["function"]["parameters"]
    return shown if len(json.dumps(shown, default=str)) <= _SCHEMA_BYTES else {}


def _fingerprint(target: Target, arguments: Any) -> str:
    """The same for the same call: an answer to one must not let another one run."""
    told = json.dumps([target.server, target.name, arguments], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _response(question: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer looks like, for clients that make a form of it: the decisions of the standard form."""
    review = question["review_configs"][0]
    action = {
        "type": "object",
        "properties": {
            "name": {"const": review["action_name"]},
            "args": review.get("args_schema", {"type": "object"}),
        },
        "required": ["name", "args"],
    }
    return {
        "type": "object",
        "properties": {
            "type": {"type": "string", "enum": review["allowed_decisions"]},
            "edited_action": action,
            "message": {"type": "string"},
        },
        "required": ["type"],
    }
