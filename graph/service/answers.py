"""What a person answered, by the ids of the questions that wait: how each form of an answer is read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from core.errors import InvalidInput
from core.foreign import is_answer
from graph.errors import AlreadyAnswered, NothingToResume
from nodes.mcp_tools import answers

Answer = dict[str, Any]

# One answer counts for all of these that wait: it says yes or no, and nothing of a single call.
_FOR_ALL = frozenset({"approval", "budget"})
# Keys of an answer itself. What has none of them is an answer per interrupt id.
_OWN = frozenset(
    (
        *("approve", "arguments", "reason", "respond", "decisions", "type"),
        *("action", "content", "limit", "credential", "decline"),
    )
)


def answers_for(
    resume: object, waiting: Sequence[Mapping[str, Any]], *, answered: Collection[str] = ()
) -> dict[str, Answer]:
    """The answers by the ids of their interrupts, in their short form; those without one keep waiting.

    Args:
        resume: An answer for the one that waits, `{"approve": bool, "reason"?: str}` or a boolean for all
            that wait, `{"decisions": [...]}` with one for each that waits, in their order, or an object of
            answers by interrupt id for any of them. Which answers a kind takes:
            see `nodes.mcp_tools.answers` for approvals and elicitations; budget
            `{approve, limit?, reason?}`, credential `{credential}` or `{decline: true}`, any object for a
            kind that is not ours.
        waiting: The thread's interrupts, each with its `id`, its `kind`, and what was asked.
        answered: Ids of interrupts of this run that have had their answer.

    Raises:
        NothingToResume: Nothing waits.
        AlreadyAnswered: An interrupt has had its answer.
        InvalidInput: An id is unknown, or an answer is missing or has the wrong form. Nothing counts then.
    """
    if not waiting:
        raise NothingToResume("the thread does not wait for an answer")
    asked = {str(interrupt["id"]): interrupt for interrupt in waiting}
    given = _by_id(resume, asked, answered)
    return {key: _read(key, asked[key], answer) for key, answer in given.items()}


def _by_id(
    resume: object, asked: Mapping[str, Mapping[str, Any]], answered: Collection[str]
) -> dict[str, object]:
    if not is_answer(resume):
        raise InvalidInput(f"no answer is given; answer by id: {_example(asked)}")
    if isinstance(resume, Mapping) and not (_OWN & resume.keys()) - asked.keys():
        _known(resume, asked, answered)
        return dict(resume)
    if not isinstance(resume, Mapping | list | bool):
        raise InvalidInput(f"an answer is a JSON object such as {_example(asked)}")
    if isinstance(resume, bool) or ("approve" in resume and len(asked) > 1):
        return {key: _for_all(key, question, resume) for key, question in asked.items()}
    if isinstance(resume, list) or "decisions" in resume:
        return _in_order(resume, asked)
    return {_only_one(asked): resume}


def _known(
    resume: Mapping[str, Any], asked: Mapping[str, Mapping[str, Any]], answered: Collection[str]
) -> None:
    unknown = [str(key) for key in resume if key not in asked]
    if not unknown:
        return
    waiting = f"waiting: {', '.join(asked)}; answer by id: {_example(asked)}"
    if again := [key for key in unknown if key in answered]:
        raise AlreadyAnswered(f"interrupt '{again[0]}' has had its answer; {waiting}")
    raise InvalidInput(f"no interrupt '{unknown[0][:80]}' waits; {waiting}")


def _for_all(key: str, question: Mapping[str, Any], resume: Any) -> object:
    kind = _kind(question)
    if kind not in _FOR_ALL:
        raise InvalidInput(
            f"interrupt '{key}' is of kind {kind}, for which approve is no answer; "
            f"answer by id: {_example({key: question})}"
        )
    if isinstance(resume, bool):
        return {"approve": resume}
    if alone := sorted({"arguments", "limit"} & resume.keys()):
        raise InvalidInput(
            f"'{alone[0]}' is for one call; several wait, so answer by id: {_example({key: question})}"
        )
    return resume


def _in_order(resume: Mapping[str, Any] | list[Any], asked: Mapping[str, Any]) -> dict[str, object]:
    """One decision per action. Which comes first is what the reply and the thread's state say."""
    decisions = resume
    if isinstance(resume, Mapping):
        if beside := sorted(str(key) for key in resume if key != "decisions"):
            raise InvalidInput(
                f"beside 'decisions' stands '{beside[0][:80]}'; put each answer into the list, or by id"
            )
        decisions = resume["decisions"]
    if not isinstance(decisions, list):
        raise InvalidInput('decisions must be a list, such as {"decisions": [{"type": "approve"}]}')
    if len(decisions) != len(asked):
        raise InvalidInput(
            f"there are {len(decisions)} decisions for {len(asked)} actions that wait; give one for each, in "
            f"the order {', '.join(asked)}, or answer some by id: {_example(asked)}"
        )
    return dict(zip(asked, decisions, strict=True))


def _only_one(asked: Mapping[str, Mapping[str, Any]]) -> str:
    if len(asked) > 1:
        raise InvalidInput(
            f"{len(asked)} interrupts wait, and this answers one; answer by id: {_example(asked)}"
        )
    return next(iter(asked))


def _read(key: str, question: Mapping[str, Any], answer: object) -> Answer:
    kind = _kind(question)
    try:
        if kind in (answers.APPROVAL, answers.ELICITATION):
            return answers.addressed(question, answers.read({**question, "kind": kind}, answer))
        return _other(kind, answer)
    except answers.UnreadableAnswer as problem:
        raise InvalidInput(f"interrupt '{key}': {problem}") from None


def _other(kind: str, answer: object) -> Answer:
    if problem := answers.unstorable(answer):
        raise answers.UnreadableAnswer(problem)
    if isinstance(answer, bool) and kind == "budget":
        answer = {"approve": answer}
    if not isinstance(answer, Mapping):
        raise answers.UnreadableAnswer(f"an answer is {_FORMS.get(kind, 'a JSON object')}")
    read = _READERS.get(kind)
    return dict(answer) if read is None else read(answer)


def _budget(value: Mapping[str, Any]) -> Answer:
    _only(value, "budget", "approve", "limit", "reason")
    _typed(value, "approve", bool, "budget")
    _typed(value, "reason", str, "budget", optional=True)
    _typed(value, "limit", (int, float), "budget", optional=True)
    if not 0 < value.get("limit", 1) < float("inf"):
        raise answers.UnreadableAnswer("limit must be a number above 0")
    return dict(value)


def _credential(value: Mapping[str, Any]) -> Answer:
    _only(value, "credential", "credential", "decline")
    if ("credential" in value) == ("decline" in value):
        raise answers.UnreadableAnswer(f"give one of credential and decline: {_FORMS['credential']}")
    if "decline" in value and value["decline"] is not True:
        raise answers.UnreadableAnswer("decline must be true; to agree, name a credential instead")
    _typed(value, "credential", str, "credential", optional=True)
    if value.get("credential") == "":
        raise answers.UnreadableAnswer("credential must be the name of a stored credential, not empty")
    return dict(value)


_FORMS = {
    **answers.FORMS,
    "budget": '{"approve": true or false, "limit": 1.5}',
    "credential": '{"credential": "name of a stored credential"} or {"decline": true}',
}
_READERS: dict[str, Callable[[Mapping[str, Any]], Answer]] = {"budget": _budget, "credential": _credential}
_WORDS = {bool: "true or false", str: "text", dict: "an object", (int, float): "a number"}


def _kind(question: Mapping[str, Any]) -> str:
    return str(question.get("kind", answers.APPROVAL))


def _example(asked: Mapping[str, Mapping[str, Any]]) -> str:
    key, question = next(iter(asked.items()))
    return f'{{"{key}": {_FORMS.get(_kind(question), "{…}")}}}'


def _only(value: Mapping[str, Any], kind: str, *known: str) -> None:
    unknown = sorted(str(name) for name in value if name not in known)
    if unknown:
        raise answers.UnreadableAnswer(
            f"an answer has no key '{unknown[0][:80]}'; known: {', '.join(known)}; "
            f"an answer is {_FORMS[kind]}"
        )


def _typed(value: Mapping[str, Any], name: str, wanted: Any, kind: str, *, optional: bool = False) -> None:
    if name not in value and optional:
        return
    found = value.get(name)
    # In Python a bool is a number too.
    if name not in value or not isinstance(found, wanted) or (wanted is not bool and isinstance(found, bool)):
        raise answers.UnreadableAnswer(f"{name} must be {_WORDS[wanted]}; an answer is {_FORMS[kind]}")
