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

from nodes.mcp_tools.answers import ACTIONS, ELICITATION, Unreadable, read_again
from nodes.mcp_tools.approval import with_problem
from nodes.mcp_tools.arguments import cleaned
from nodes.mcp_tools.executor import Target
from nodes.mcp_tools.models import Answer, Question

AT_MOST = 20  # answers to one call; a tool that asks and asks is told no
_SCHEMA_BYTES = 32_768
_TEXT_CHARS = 4000


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
        shown, problem = self._shown(question, asked), ""
        while self._heard < AT_MOST:
            said = interrupt(with_problem(shown, problem), response_schema=_response(question.schema))
            self._heard += 1
            try:
                return _answer(read_again(shown, said))
            except Unreadable as unreadable:
                # LangGraph hands answers out in their order alone: one may be for another question, or
                # have come twice. Nobody is answered for; the person is asked once more, and told why.
                problem = str(unreadable)
        return Answer("decline")

    def _shown(self, question: Question, asked: str) -> dict[str, Any]:
        call, target = self._call, self._target
        text = _text(question)
        name = str(call.get("name") or target.name)
        review = {
            "action_name": name,
            "allowed_decisions": ["edit", "reject"],
            "args_schema": question.schema,
        }
        return {
            "kind": ELICITATION,
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


def _answer(said: Mapping[str, Any]) -> Answer:
    return Answer(said["action"], cleaned(said.get("content") or {}) if said["action"] == "accept" else None)


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
