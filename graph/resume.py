"""Match a person's answers to the interrupts that wait for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.errors import InvalidInput
from graph.errors import NothingToResume
from nodes.mcp_tools import asking
from nodes.mcp_tools.approval import standard_answer

Answer = dict[str, Any]

ACTIONS = asking.ACTIONS


def answers_for(resume: Mapping[str, Any], waiting: Sequence[Mapping[str, Any]]) -> dict[str, Answer]:
    """The answers by the ids of their interrupts; those without one keep waiting.

    Args:
        resume: `{"approve": bool, "reason"?: str}` for all that wait, or an answer per interrupt id for
            any of them. What an answer says depends on the interrupt's kind:
            approval `{approve, reason?}`, elicitation `{action, content?}`,
            budget `{approve, limit?, reason?}`,
            credential `{credential}` or `{decline: true}`, any object for a kind that is not ours.
            What an elicitation is accepted with must fit the schema of its question.
        waiting: The thread's interrupts, each with its `id` and `kind`.

    Raises:
        NothingToResume: Nothing waits.
        InvalidInput: An id is unknown, no answer is given, or an answer has the wrong form.
    """
    if not waiting:
        raise NothingToResume("the thread does not wait for an answer")
    kinds = {str(interrupt["id"]): str(interrupt.get("kind", "approval")) for interrupt in waiting}
    if "approve" in resume and "approve" not in kinds:
        return {key: _for_all(key, kind, resume) for key, kind in kinds.items()}
    if not resume:
        raise InvalidInput(f"no answer is given; answer by id: {_example(kinds)}")
    unknown = [key for key in resume if key not in kinds]
    if unknown:
        raise InvalidInput(
            f"no interrupt '{str(unknown[0])[:80]}' waits; waiting: {', '.join(kinds)}; "
            f"answer by id: {_example(kinds)}"
        )
    given = {key: _answer(key, kinds[key], value) for key, value in resume.items()}
    asked = {str(interrupt["id"]): interrupt for interrupt in waiting}
    return {
        key: _fitting(key, answer, asked[key]) if kinds[key] == asking.KIND else answer
        for key, answer in given.items()
    }


def _fitting(key: str, answer: Answer, question: Mapping[str, Any]) -> Answer:
    """The answer to a server's question, and to which one: it shall answer no other."""
    schema = question.get("schema")
    if answer["action"] == "accept" and isinstance(schema, Mapping):
        problem = asking.content_problem(answer.get("content") or {}, schema)
        if problem:
            raise InvalidInput(f"interrupt '{key}': the content does not fit what was asked for: {problem}")
    return {**answer, **({"asked": question["asked"]} if "asked" in question else {})}


def _example(kinds: Mapping[str, str]) -> str:
    key, kind = next(iter(kinds.items()))
    return f'{{"{key}": {FORMS.get(kind, "{…}")}}}'


def _for_all(key: str, kind: str, resume: Mapping[str, Any]) -> Answer:
    if kind not in {"approval", "budget"}:
        raise InvalidInput(
            f"interrupt '{key}' is of kind {kind}, for which approve is no answer; "
            f"answer by id: {_example({key: kind})}"
        )
    return _answer(key, kind, resume)


def _answer(key: str, kind: str, value: Any) -> Answer:
    if not isinstance(value, Mapping):
        raise InvalidInput(f"interrupt '{key}': an answer is {FORMS.get(kind, 'a JSON object')}")
    read = _READERS.get(kind)
    return dict(value) if read is None else read(key, value)


def _approval(key: str, value: Mapping[str, Any]) -> Answer:
    standard = None if "approve" in value else standard_answer(value)
    if standard is not None:
        return standard
    _only(key, value, "approval", "approve", "reason")
    _typed(key, value, "approve", bool, "approval")
    _typed(key, value, "reason", str, "approval", optional=True)
    return dict(value)


def _elicitation(key: str, value: Mapping[str, Any]) -> Answer:
    standard = None if "action" in value else asking.standard_answer(value)
    value = standard or value
    _only(key, value, "elicitation", "action", "content")
    if value.get("action") not in ACTIONS:
        raise InvalidInput(f"interrupt '{key}': action must be one of {', '.join(ACTIONS)}")
    _typed(key, value, "content", dict, "elicitation", optional=True)
    if "content" in value and value["action"] != "accept":
        raise InvalidInput(f"interrupt '{key}': content goes with the action accept only; leave it out")
    return dict(value)


def _budget(key: str, value: Mapping[str, Any]) -> Answer:
    _only(key, value, "budget", "approve", "limit", "reason")
    _typed(key, value, "approve", bool, "budget")
    _typed(key, value, "reason", str, "budget", optional=True)
    _typed(key, value, "limit", (int, float), "budget", optional=True)
    if not 0 < value.get("limit", 1) < float("inf"):
        raise InvalidInput(f"interrupt '{key}': limit must be a number above 0")
    return dict(value)


def _credential(key: str, value: Mapping[str, Any]) -> Answer:
    _only(key, value, "credential", "credential", "decline")
    if ("credential" in value) == ("decline" in value):
        raise InvalidInput(f"interrupt '{key}': give one of credential and decline: {FORMS['credential']}")
    if "decline" in value and value["decline"] is not True:
        raise InvalidInput(f"interrupt '{key}': decline must be true; to agree, name a credential instead")
    _typed(key, value, "credential", str, "credential", optional=True)
    if value.get("credential") == "":
        raise InvalidInput(
            f"interrupt '{key}': credential must be the name of a stored credential, not empty"
        )
    return dict(value)


FORMS = {
    "approval": '{"approve": true or false, "reason": "…"}',
    "elicitation": '{"action": "accept", "decline" or "cancel", "content": {…}}',
    "budget": '{"approve": true or false, "limit": 1.5}',
    "credential": '{"credential": "name of a stored credential"} or {"decline": true}',
}

_READERS: dict[str, Callable[[str, Mapping[str, Any]], Answer]] = {
    "approval": _approval,
    "elicitation": _elicitation,
    "budget": _budget,
    "credential": _credential,
}
_WORDS = {bool: "true or false", str: "text", dict: "an object", (int, float): "a number"}


def _only(key: str, value: Mapping[str, Any], kind: str, *known: str) -> None:
    unknown = sorted(str(name) for name in value if name not in known)
    if unknown:
        raise InvalidInput(
            f"interrupt '{key}': an answer has no key '{unknown[0][:80]}'; known: {', '.join(known)}; "
            f"an answer is {FORMS[kind]}"
        )


def _typed(
    key: str, value: Mapping[str, Any], name: str, wanted: Any, kind: str, *, optional: bool = False
) -> None:
    if name not in value and optional:
        return
    found = value.get(name)
    # In Python a bool is a number too.
    if name not in value or not isinstance(found, wanted) or (wanted is not bool and isinstance(found, bool)):
        raise InvalidInput(f"interrupt '{key}': {name} must be {_WORDS[wanted]}; an answer is {FORMS[kind]}")
