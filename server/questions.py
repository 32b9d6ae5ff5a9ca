"""What waits for a person, in words, and how it is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

SHOWN = 200
_YES_OR_NO = frozenset({"approval", "budget"})
_WORDS = {"approve": True, "approved": True, "reject": False, "rejected": False, "deny": False}
# Asked for an approval, a person may say why not behind the word.
_REASON_LETTERS = 2000

Questions = Sequence[Mapping[str, Any]]


def short(text: str) -> str:
    """One line of at most 200 characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= SHOWN else flat[: SHOWN - 1] + "…"


def tool_of(call: Mapping[str, Any]) -> str:
    return f"{call['server']}.{call['tool']}" if call.get("server") else str(call["tool"])


def arguments_of(arguments: Any) -> str:
    """Arguments as in a call of Python."""
    if isinstance(arguments, Mapping):
        return short(", ".join(f"{name}={value!r}" for name, value in arguments.items()))
    return short(str(arguments))


def line_of(question: Mapping[str, Any]) -> str:
    """A question in one line, with the call that it is about."""
    call, text = question.get("call"), question.get("detail")
    if not call:
        return str(text or "Allow this?")
    called = f"{tool_of(call)}({arguments_of(call.get('arguments'))})"
    return f"{text} {called}" if text else f"Allow {called}?"


def answer_in(message: str) -> Any:
    """The answer to a question that somebody wrote as a message; None where it is none.

    `approve`, `reject`, or `reject: why`; or an answer as JSON, an object or a list.
    """
    text = message.strip()
    if text.startswith(("{", "[")):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
    word, _, reason = text[:_REASON_LETTERS].partition(":")
    approved = _WORDS.get(word.strip().lower().rstrip(".!"))
    if approved is None or (reason and approved):
        return None
    return {"approve": approved, **({"reason": reason.strip()} if reason.strip() else {})}


def sample_answer(questions: Questions) -> dict[str, Any]:
    """An answer that would be taken: a decision for each in their order, or one by its id."""
    if all(question.get("kind", "approval") == "approval" for question in questions):
        return {"decisions": [{"type": "approve"} for _ in questions]}
    return {str(question["id"]): _sample(question) for question in questions}


def _sample(question: Mapping[str, Any]) -> dict[str, Any]:
    if question.get("kind") != "elicitation":
        return {"approve": True}
    schema = question.get("schema") or {}
    fields = schema.get("required") or list(schema.get("properties") or {})
    return {"action": "accept", "content": dict.fromkeys(map(str, fields), "…")}


def told_in_chat(questions: Questions, thread_id: str) -> str:
    """What a person reads on a page that shows nothing but text: what waits, and what to send."""
    lines = [f"{number}. {line_of(question)}" for number, question in enumerate(questions, start=1)]
    answer = orjson.dumps(sample_answer(questions)).decode()
    kinds = {str(question.get("kind", "approval")) for question in questions}
    others = ["an approval may also be edited, rejected or responded to"] if "approval" in kinds else []
    others += ["a question may be declined or cancelled"] if "elicitation" in kinds else []
    return "\n".join(
        [
            "This waits for your answer:",
            *lines,
            *(['Send "approve" or "reject" as the next message here.'] if kinds <= _YES_OR_NO else []),
            f"Send for instance {answer}",
            f'as the next message here, or as "resume" with the thread_id "{thread_id}".',
            *([f"({'; '.join(others)})"] if others else []),
        ]
    )
