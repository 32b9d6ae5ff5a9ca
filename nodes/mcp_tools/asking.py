"""A server's question in the middle of a call, put to a person (an elicitation).

The call ends at its question, and the run waits. With the answer the step runs
again: the call is made from its beginning, and its questions get the answers
that were given, in their order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from langgraph.types import interrupt

from nodes.mcp_tools.approval import DECISIONS
from nodes.mcp_tools.arguments import cleaned, mismatch
from nodes.mcp_tools.executor import Target
from nodes.mcp_tools.models import Answer, Question

KIND = "elicitation"
ACTIONS = ("accept", "decline", "cancel")
AT_MOST = 20  # answers to one call; a tool that asks and asks is told no
_SCHEMA_BYTES = 32_768
_TEXT_CHARS = 4000
# The standard's shape for a human in the loop: to fill in the form is to edit the action's arguments.
_STANDARD = {
    "approve": "accept",
    "accept": "accept",
    "edit": "accept",
    "reject": "decline",
    "response": "decline",
    "ignore": "cancel",
}


class Asker:
    """Answers the questions of one call from what the person has said, or pauses the run.

    Args:
        mode: The run's approval mode; "deny": nobody can be asked, and every question is declined.
    """

    def __init__(self, call: Mapping[str, Any], target: Target, mode: str) -> None:
        self._call = call
        self._target = target
        self._mode = mode
        self._given: list[tuple[str, Answer]] = []
        self._heard = 0

    async def __call__(self, question: Question) -> Answer:
        """See `models.Ask`.

        Raises:
            GraphInterrupt: It has no answer yet.
        """
        asked = _fingerprint(question)
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
        while self._heard < AT_MOST:
            said = interrupt(self._shown(question, asked), response_schema=_response(question.schema))
            self._heard += 1
            if _is_for(said, asked):
                return _read(said, question.schema)
        return Answer("decline")

    def _shown(self, question: Question, asked: str) -> dict[str, Any]:
        call, target = self._call, self._target
        text = _text(question)
        name = str(call.get("name") or target.name)
        review = {
            "action_name": name,
            "allowed_decisions": ["edit", DECISIONS[-1]],
            "args_schema": question.schema,
        }
        return {
            "kind": KIND,
            "call": {
                "id": call.get("id"),
                "server": target.server,
                "tool": target.name,
                "arguments": call.get("args") or {},
            },
            "text": text,
            "schema": question.schema,
            "asked": asked,
            "action_requests": [{"name": name, "args": {}, "description": text}],
            "review_configs": [review],
        }


def content_problem(content: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Why the content does not fit the form, in words for a person; empty when it fits."""
    for name, value in content.items():
        flat = value is None or isinstance(value, str | int | float)
        if not flat and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            return f"'{str(name)[:80]}' must be text, a number, true or false, or a list of texts"
    place, why = mismatch(content, schema)
    return f"'{place}': {why}" if place else why


def standard_answer(answer: object) -> dict[str, Any] | None:
    """An answer of the standard shape in our form; None where it has no such shape.

    Known are `{"decisions": [{"type": "edit", "edited_action": {"args": {...}}}]}`, its
    decision by itself, and the older `[{"type": "edit", "args": {"args": {...}}}]`.
    """
    decision = answer.get("decisions") if isinstance(answer, Mapping) and "decisions" in answer else answer
    if isinstance(decision, list):
        decision = decision[0] if len(decision) == 1 else None
    if not isinstance(decision, Mapping) or decision.get("type") not in _STANDARD:
        return None
    action = _STANDARD[decision["type"]]
    edited = decision.get("edited_action") or decision.get("args")
    content = edited.get("args") if isinstance(edited, Mapping) else None
    return {"action": action, **({"content": content} if action == "accept" and content is not None else {})}


def _is_for(said: object, asked: str) -> bool:
    """Whether something that was said can be the answer to this question.

    LangGraph hands answers out in their order alone. A tool may ask something
    else than before; and an answer that is sent twice, or again after a crash,
    is given to the question that follows.
    """
    if not isinstance(said, Mapping):
        return True
    is_approval = "approve" in said and "action" not in said
    return not is_approval and said.get("asked", asked) == asked


def _read(said: object, schema: Mapping[str, Any]) -> Answer:
    """What is not understood, or does not fit the form, is no consent."""
    given = standard_answer(said) or said
    action = given.get("action") if isinstance(given, Mapping) else None
    if not isinstance(given, Mapping) or action not in ACTIONS or action == "decline":
        return Answer("decline")
    if action == "cancel":
        return Answer("cancel")
    content = given.get("content") or {}
    if not isinstance(content, Mapping) or content_problem(content, schema):
        return Answer("decline")
    return Answer("accept", cleaned(content))


def _response(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer looks like, for clients that make a form of it."""
    properties = {"action": {"type": "string", "enum": list(ACTIONS)}, "content": dict(schema)}
    return {"type": "object", "properties": properties, "required": ["action"]}


def _text(question: Question) -> str:
    text = str(cleaned(question.message)).replace("\0", "")
    return text if len(text) <= _TEXT_CHARS else text[: _TEXT_CHARS - 1] + "…"


def _fingerprint(question: Question) -> str:
    """The same for the same question; empty for one that cannot be shown or kept."""
    try:
        schema = orjson.dumps(question.schema, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, RecursionError):
        return ""
    if len(schema) > _SCHEMA_BYTES or b"\\u0000" in schema:
        return ""
    return hashlib.sha256(_text(question).encode() + b"\0" + schema).hexdigest()[:16]
