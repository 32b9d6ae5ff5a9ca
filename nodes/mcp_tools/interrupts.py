"""A run pauses for a person: whether a call may run (an approval), or what a server asks (an elicitation).

The question carries our own keys and LangChain's shape for a human in the loop
(`action_requests`, `review_configs`), so that Studio and other clients of that
shape can show it. `answers` reads what comes back. With an answer the step runs
again: a call is made from its beginning, and the server's questions get the
answers that were given, in their order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from langgraph.types import interrupt

from nodes.mcp_tools.answers import ACTIONS, APPROVAL, DECISIONS, ELICITATION, UnreadableAnswer, read_again
from nodes.mcp_tools.calls import MALFORMED, cleaned, function_schema, same_json
from nodes.mcp_tools.executor import Target
from nodes.mcp_tools.models import Answer, Question

AT_MOST = 20  # answers to one question, or to one call: a tool that asks and asks is told no
FIRM = "whoever runs this service wants a person asked, so approval: auto does not count here"
_SCHEMA_BYTES = 32_768
_TEXT_CHARS = 4000

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
        decided: dict[str, Any] = {"type": self.kind, "by": by}
        if self.kind == "edit":
            return {**decided, "before": dict(call.get("args") or {}), "after": dict(self.arguments)}
        return {**decided, "reason": self.text} if self.text and self.kind == "reject" else decided


def decide(
    call: Mapping[str, Any], target: Target, mode: str, check: Check = lambda arguments: ""
) -> Decision:
    """Approve, refuse, or pause the run until a person decides.

    Args:
        mode: "ask", "auto" (approve what the operator leaves to callers) or "deny" (refuse all that
            would need an approval).
        check: Judges edited arguments.
    """
    arguments = call.get("args") or {}
    # A call whose arguments are no object cannot be made: its model hears so, and nobody needs to be asked.
    if target.tool is None or not target.approval or MALFORMED in arguments:
        return Decision()
    if mode == "auto" and not target.firm:
        return Decision()
    if mode == "deny" and not target.client:
        return Decision("reject", "this run refuses tools that need approval")
    question, problem = _approval(call, target, mode), ""
    for _ in range(AT_MOST):
        said = interrupt(_with_problem(question, problem), response_schema=_decision_schema(question))
        try:
            return _decision(read_again(question, said), arguments, check, target.hidden)
        except UnreadableAnswer as unreadable:
            problem = str(unreadable)
    return Decision("reject", f"no answer could be taken: {problem}")


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
        raise UnreadableAnswer(f"the edited call cannot be made: {problem}")
    return Decision("edit", arguments=edited, asked=True)


class AskPerson:
    """Answers the questions of one call from what the person has said, or pauses the run.

    Args:
        mode: The run's approval mode; "deny": nobody can be asked, and every question is declined.
    """

    def __init__(self, call: Mapping[str, Any], target: Target, mode: str) -> None:
        self._call = call
        self._target = target
        self._mode = mode
        self._given: list[tuple[str, Answer]] = []
        self._taken = 0

    async def __call__(self, question: Question) -> Answer:
        """See `models.Ask`.

        Raises:
            GraphInterrupt: It has no answer yet.
        """
        asked = fingerprint_of(question)
        if self._mode == "deny" or not asked:
            return Answer("decline")
        if question.number < len(self._given):  # the attempt began anew
            before, answer = self._given[question.number]
            if before == asked:
                return answer
            del self._given[question.number :]
        answer = self._next(question, asked)
        self._given.append((asked, answer))
        return answer

    def _next(self, question: Question, asked: str) -> Answer:
        shown, problem = self._shown(question, asked), ""
        properties = {"action": {"type": "string", "enum": list(ACTIONS)}, "content": dict(question.schema)}
        form = {"type": "object", "properties": properties, "required": ["action"]}
        while self._taken < AT_MOST:
            said = interrupt(_with_problem(shown, problem), response_schema=form)
            self._taken += 1
            try:
                answer = read_again(shown, said)
            except UnreadableAnswer as unreadable:
                # LangGraph hands answers out in their order alone: one may be for another question, or
                # have come twice. Nobody is answered for; the person is asked once more, and told why.
                problem = str(unreadable)
                continue
            accepted = answer["action"] == "accept"
            return Answer(answer["action"], cleaned(answer.get("content") or {}) if accepted else None)
        return Answer("decline")

    def _shown(self, question: Question, asked: str) -> dict[str, Any]:
        review = {"allowed_decisions": ["edit", "reject"], "args_schema": question.schema}
        shown = _question(ELICITATION, self._call, self._target, _text_of(question), review)
        shown["action_requests"][0]["args"] = {}
        return {**shown, "schema": question.schema, "asked": asked}


def _approval(call: Mapping[str, Any], target: Target, mode: str) -> dict[str, Any]:
    text = f"May {target.server} run '{target.name}'?" + (f" ({FIRM})" if mode == "auto" else "")
    review: dict[str, Any] = {"allowed_decisions": list(DECISIONS)}
    if target.client:
        text, review = (
            f"Run '{target.name}', and respond with its result.",
            {"allowed_decisions": ["respond", "reject"]},
        )
    if target.tool is not None:
        name = str(call.get("name") or target.name)
        # What edited arguments must fit, as models see it; left out where it is too large to be stored.
        shown = function_schema(name, target.tool, hidden=target.hidden)["function"]["parameters"]
        if len(json.dumps(shown, default=str)) <= _SCHEMA_BYTES:
            review["args_schema"] = shown
    # The same for the same call: an answer to one must not let another one run.
    same = json.dumps([target.server, target.name, call.get("args") or {}], sort_keys=True, default=str)
    mark = {"client": True} if target.client else {}
    return {**_question(APPROVAL, call, target, text, review), **mark, "asked": _digest(same.encode())}


def _question(
    kind: str, call: Mapping[str, Any], target: Target, text: str, review: Mapping[str, Any]
) -> dict[str, Any]:
    arguments, name = call.get("args") or {}, str(call.get("name") or target.name)
    shown = {"id": call.get("id"), "server": target.server, "tool": target.name, "arguments": arguments}
    return {
        "kind": kind,
        "call": shown,
        "detail": text,
        "action_requests": [{"name": name, "args": arguments, "description": text}],
        "review_configs": [{"action_name": name, **review}],
    }


def _with_problem(question: dict[str, Any], problem: str) -> dict[str, Any]:
    """The question, once more where an answer could not be taken: it says why, also in its text."""
    if not problem:
        return question
    text = f"The answer was not taken: {problem.rstrip('.')}. {question['detail']}"
    requests = [{**action, "description": text} for action in question["action_requests"]]
    return {**question, "detail": text, "problem": problem, "action_requests": requests}


def _decision_schema(question: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer looks like, for clients that make a form of it: the decisions of the standard form."""
    review = question["review_configs"][0]
    arguments = review.get("args_schema", {"type": "object"})
    action = {"name": {"const": review["action_name"]}, "args": arguments}
    properties = {
        "type": {"type": "string", "enum": review["allowed_decisions"]},
        "edited_action": {"type": "object", "properties": action, "required": ["name", "args"]},
        "message": {"type": "string"},
    }
    return {"type": "object", "properties": properties, "required": ["type"]}


def _text_of(question: Question) -> str:
    text = str(cleaned(question.message)).replace("\0", "")
    return text if len(text) <= _TEXT_CHARS else text[: _TEXT_CHARS - 1] + "…"


def fingerprint_of(question: Question) -> str:
    """The same for the same question; empty for one that cannot be shown or stored."""
    try:
        schema = orjson.dumps(question.schema, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, RecursionError):
        return ""
    if len(schema) > _SCHEMA_BYTES or b"\\u0000" in schema:
        return ""
    return _digest(_text_of(question).encode() + b"\0" + schema)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
