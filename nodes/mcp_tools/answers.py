"""How a person's answer to a question is written: one grammar, whichever way it comes in.

An answer may be short (`{"approve": true}`, `{"action": "accept", "content": {…}}`), in LangChain's
form for a human in the loop (`{"decisions": [{"type": "approve"}]}`, or a decision by itself), or in
the form before that (`[{"type": "accept", "args": null}]`). All are read into the short form, which
is what is stored and given to the step that asked. What cannot be read is refused whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from core.foreign import as_json, fault_in
from core.shapes import mismatch

APPROVAL = "approval"
ELICITATION = "elicitation"
DECISIONS = ("approve", "edit", "reject", "respond")
ACTIONS = ("accept", "decline", "cancel")
FORMS = {
    APPROVAL: '{"approve": true or false, "arguments"?: {…}, "reason"?: "…"}, {"respond": "…"} or '
    '{"decisions": [{"type": "approve", "edit", "reject" or "respond", …}]}',
    ELICITATION: '{"action": "accept", "decline" or "cancel", "content": {…}}',
}
TEXT_CHARS = 65_536
_DEPTH = 64
# The names before the standard ones. What a `response` says goes to the model, and the tool does not run.
_OLDER = {"accept": "approve", "ignore": "reject", "response": "reject"}
_ACTION_OF = {"approve": "accept", "edit": "accept", "reject": "decline"}

Answer = dict[str, Any]


class UnreadableAnswer(Exception):
    """An answer cannot be taken. The text says what is wrong with it, where, and how it should be.

    It is empty where the answer was for another question, and nothing is wrong with it.
    """


def read(question: Mapping[str, Any], answer: object) -> Answer:
    """The answer in its short form, once it is sure that it fits the question.

    Args:
        question: What was shown: `kind`, and by kind `action_requests`, `review_configs`, `schema`.

    Raises:
        Unreadable: It does not fit; the question stays open.
    """
    if problem := unstorable(answer):
        raise UnreadableAnswer(problem)
    return _READERS[str(question.get("kind", APPROVAL))](question, _unwrapped(answer))


def addressed(question: Mapping[str, Any], answer: Answer) -> Answer:
    """The answer with what says which question it is for: an order alone could hand it to the next one."""
    return {**answer, "asked": question["asked"]} if "asked" in question else answer


def read_again(question: Mapping[str, Any], answer: object) -> Answer:
    """As `read`, for the step itself: what comes to it may have been read and addressed before.

    Raises:
        Unreadable: It is for another question, or does not fit this one.
    """
    if isinstance(answer, Mapping) and "asked" in answer:
        if answer["asked"] != question.get("asked", answer["asked"]):
            raise UnreadableAnswer
        answer = {key: value for key, value in answer.items() if key != "asked"}
    return read(question, answer)


def content_problem(content: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Why the content does not fit the form, in words for a person; empty when it fits."""
    for name, value in content.items():
        flat = value is None or isinstance(value, str | int | float)
        if not flat and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            return f"'{str(name)[:80]}' must be text, a number, true or false, or a list of texts"
    return _mismatch(content, schema)


def unstorable(value: object) -> str:
    """Why a value cannot be kept as JSON on every database; empty when it can."""
    # NUL is text like any other to the gate, which replaces it; what a person sends is not changed.
    return fault_in(value, "the answer", depth=_DEPTH) or (
        "a text has a NUL character; remove it" if "\\u0000" in as_json(value).replace("\\\\", "") else ""
    )


def _unwrapped(answer: object) -> object:
    """The one decision in the standard form's list; anything else as it is."""
    if isinstance(answer, Mapping) and "decisions" in answer:
        _only(answer, "decisions", what="an answer with decisions")
        answer = answer["decisions"]
        if not isinstance(answer, list):
            raise UnreadableAnswer('decisions must be a list, such as {"decisions": [{"type": "approve"}]}')
    if isinstance(answer, list):
        if len(answer) != 1:
            raise UnreadableAnswer(f"there are {len(answer)} decisions for one action; give exactly one")
        return answer[0]
    return answer


def _approval(question: Mapping[str, Any], answer: object) -> Answer:
    if isinstance(answer, bool):
        answer = {"approve": answer}
    if not isinstance(answer, Mapping):
        raise UnreadableAnswer(f"an answer is {FORMS[APPROVAL]}")
    short = _short_approval(question, answer) if "type" in answer else dict(answer)
    _only(short, "approve", "arguments", "reason", "respond", what="an answer", form=FORMS[APPROVAL])
    if "respond" in short:
        _only(short, "respond", what="an answer with respond")
        _allowed(question, "respond")
        return {"respond": _text(short, "respond")}
    if not isinstance(short.get("approve"), bool):
        raise UnreadableAnswer(f"approve must be true or false; an answer is {FORMS[APPROVAL]}")
    if "reason" in short:
        _text(short, "reason")
    if "arguments" in short:
        _edited(question, short)
    else:
        _allowed(question, "approve" if short["approve"] else "reject")
    return short


def _edited(question: Mapping[str, Any], short: Answer) -> None:
    if not short["approve"]:
        raise UnreadableAnswer("arguments go with approve: true; leave them out to refuse the call")
    _allowed(question, "edit")
    arguments = short["arguments"]
    if not isinstance(arguments, Mapping):
        raise UnreadableAnswer(
            "arguments (edited_action.args) must be an object: the call's arguments as they shall be"
        )
    schema = _review(question).get("args_schema")
    problem = _mismatch(arguments, schema) if isinstance(schema, Mapping) else ""
    if problem:
        raise UnreadableAnswer(f"the edited arguments do not fit '{_name(question)}': {problem}")


def _short_approval(question: Mapping[str, Any], decision: Mapping[str, Any]) -> Answer:
    kind, given = _decision(decision, DECISIONS)
    if kind == "approve":
        _only(given, "type", what="the decision approve")
        return {"approve": True}
    if kind == "edit":
        return {"approve": True, "arguments": _edited_args(question, given)}
    said = "args" if decision["type"] in _OLDER else "message"
    _only(given, "type", said, what=f"the decision {decision['type']}")
    if kind == "respond":
        return {"respond": _text(given, "message")}
    return {"approve": False, **({"reason": _text(given, said)} if given.get(said) else {})}


def _decision(decision: Mapping[str, Any], known: tuple[str, ...]) -> tuple[str, Answer]:
    """The standard name of a decision, and what it has beside nulls."""
    written = decision["type"]
    kind = _OLDER.get(written, written) if isinstance(written, str) else written
    if kind not in known:
        raise UnreadableAnswer(f"type: {_shown(written)} is no decision here; use one of {', '.join(known)}")
    return kind, {key: value for key, value in decision.items() if value is not None}


def _edited_args(question: Mapping[str, Any], decision: Mapping[str, Any]) -> Any:
    """The arguments of a decision `edit`: `edited_action {name, args}`, before that `args {action, args}`."""
    _only(decision, "type", "edited_action", "args", what="the decision edit")
    place = "edited_action" if "edited_action" in decision else "args"
    action = decision.get(place)
    if not isinstance(action, Mapping) or "args" not in action:
        raise UnreadableAnswer('an edit is {"type": "edit", "edited_action": {"name": "…", "args": {…}}}')
    _only(action, "name", "action", "args", what=place)
    if question.get("kind") == APPROVAL:
        _same_tool(question, action.get("name", action.get("action")), place)
    return action["args"]


def _same_tool(question: Mapping[str, Any], name: object, place: str) -> None:
    names = [_name(question), (question.get("call") or {}).get("tool", "")]
    if name is not None and any(names) and name not in names:
        raise UnreadableAnswer(
            f"{place}.name: {_shown(name)} is another tool than '{_name(question)}'; only the arguments of "
            "a call can be edited, so keep its name or reject it"
        )


def _elicitation(question: Mapping[str, Any], answer: object) -> Answer:
    if not isinstance(answer, Mapping):
        raise UnreadableAnswer(f"an answer is {FORMS[ELICITATION]}")
    short = _short_elicitation(question, answer) if "type" in answer else dict(answer)
    _only(short, "action", "content", what="an answer", form=FORMS[ELICITATION])
    if short.get("action") not in ACTIONS:
        raise UnreadableAnswer(
            f"action must be one of {', '.join(ACTIONS)}; an answer is {FORMS[ELICITATION]}"
        )
    if short["action"] != "accept":
        if short.get("content") is not None:
            raise UnreadableAnswer("content goes with the action accept only; leave it out")
        return {"action": short["action"]}
    content = short.get("content", {})
    if not isinstance(content, Mapping):
        raise UnreadableAnswer(f"content must be an object; an answer is {FORMS[ELICITATION]}")
    schema = question.get("schema")
    problem = content_problem(content, schema) if isinstance(schema, Mapping) else ""
    if problem:
        raise UnreadableAnswer(f"the content does not fit what was asked for: {problem}")
    return short


def _short_elicitation(question: Mapping[str, Any], decision: Mapping[str, Any]) -> Answer:
    """To fill in the form is to edit the action's arguments."""
    kind, given = _decision(decision, ("approve", "edit", "reject"))
    if kind == "edit":
        return {"action": "accept", "content": _edited_args(question, given)}
    _only(given, "type", "message", "args", what=f"the decision {decision['type']}")
    return {"action": "cancel" if decision["type"] == "ignore" else _ACTION_OF[kind]}


_READERS: dict[str, Callable[[Mapping[str, Any], object], Answer]] = {
    APPROVAL: _approval,
    ELICITATION: _elicitation,
}


def _review(question: Mapping[str, Any]) -> Mapping[str, Any]:
    found = question.get("review_configs") or [{}]
    return found[0] if isinstance(found[0], Mapping) else {}


def _allowed(question: Mapping[str, Any], kind: str) -> None:
    allowed = _review(question).get("allowed_decisions", DECISIONS)
    if kind not in allowed:
        raise UnreadableAnswer(f"'{kind}' is not allowed for this question; allowed: {', '.join(allowed)}")


def _name(question: Mapping[str, Any]) -> str:
    requests = question.get("action_requests") or [{}]
    return str(requests[0].get("name", ""))


def _text(found: Mapping[str, Any], name: str) -> str:
    text = found.get(name)
    if not isinstance(text, str) or (name != "reason" and not text.strip()):
        raise UnreadableAnswer(f"{name} must be text, not {_shown(text)}")
    if len(text) > TEXT_CHARS:
        raise UnreadableAnswer(f"{name} has {len(text)} characters; at most {TEXT_CHARS} are taken")
    return text


def _only(found: Mapping[str, Any], *known: str, what: str, form: str = "") -> None:
    unknown = sorted(str(key) for key in found if key not in known)
    if unknown:
        hint = f"; an answer is {form}" if form else ""
        raise UnreadableAnswer(f"{what} has no key '{unknown[0][:80]}'; known: {', '.join(known)}{hint}")


def _mismatch(given: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    place, why = mismatch(given, schema)
    return f"'{place}': {why}" if place else why


def _shown(value: object) -> str:
    text = f"'{value}'" if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
