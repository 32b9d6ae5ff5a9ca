"""Where requests come in from everywhere, and what is checked of one before anything is stored for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from core.access import Principal
from core.correlation import current
from core.errors import InvalidInput
from core.events.settings import WebhookSettings
from core.events.targets import target_of
from core.foreign import is_answer
from core.settings.book import Editions
from core.settings.platform import (
    LimitSettings,
    ThreadSettings,
)
from core.settings.roles import Duty
from graph.db.partitions import new_run_id
from graph.errors import AlreadyAnswered, NothingToResume
from graph.runs.ledger import RunLedger
from graph.runs.record import Policy, TurnRequest
from graph.runs.rows import NewRun
from graph.runs.streams import Handle
from graph.service.admission import Admission
from graph.service.run_service import RunService
from graph.threads.threads import Threads, check_id, new_id
from nodes.config import ConfigLookup
from nodes.file_storage import FileManager
from nodes.mcp_tools import answers


class Reception:
    """Checks requests whole and begins their runs. One per process."""

    def __init__(  # noqa: PLR0917 - the container gives them by type
        self,
        runs: RunService,
        ledger: RunLedger,
        threads: Threads,
        lookup: ConfigLookup,
        files: FileManager,
        editions: Editions,
        duty: Duty,
    ) -> None:
        self._duty = duty
        self._runs = runs
        self._ledger = ledger
        self._threads = threads
        self._lookup = lookup
        self._files = files
        self._editions = editions
        self._admission = Admission(runs, editions)

    async def begin(self, request: TurnRequest) -> Handle:
        """Check the request whole, store its message, and begin the turn or let it wait for its thread.

        Raises:
            WaystationError: The request cannot be accepted; nothing was stored.
        """
        # What is checked here and what the turn runs with is one edition of the configuration.
        with self._editions.hold():
            return await self._begin(request)

    async def _begin(self, request: TurnRequest) -> Handle:
        # A clock that is wrong costs nothing but the place where its events stand.
        run_id = new_run_id(time.time())
        await self._admission.made_sure(request.principal)
        with self._admission.counted(request.principal, run_id):
            return await self._admitted(request, run_id)

    async def _admitted(self, request: TurnRequest, run_id: str) -> Handle:
        self._admission.check(request)
        thread_id = check_id(request.thread_id) if request.thread_id else new_id("t")
        self._lookup.resolve(request.principal, request.choices)
        if request.webhook:
            target_of(self._editions.now().book[WebhookSettings], request.webhook)
        for key in request.files:
            await self._files.info(request.principal, key)
        if request.checkpoint:
            await self._threads.course.at(request.principal, thread_id, request.checkpoint)
        new = NewRun(
            id=run_id,
            thread_id=thread_id,
            message_id=await self._message_id(request, thread_id),
            request=request,
            policy=self._policy(request),
            queue_limit=self._editions.now().book[LimitSettings].queued_runs,
            request_id=current().request_id,
            tag=self._tag(request),
        )
        if is_answer(request.resume):
            return await self._answer(new, request.resume)
        return await self._runs.open(new)

    async def resume(self, principal: Principal, run_id: str, answers: object) -> Handle:
        """Go on with an interrupted run: with answers to questions, or (None) where it was stopped.

        Raises:
            RunNotFound: There is none, or it is somebody else's.
            NothingToResume: It does not wait.
            AlreadyAnswered: A question has had its answer.
            InvalidInput: The answers do not fit the questions.
        """
        await self._admission.made_sure(principal)
        with self._editions.hold(), self._admission.counted(principal, run_id):
            return await self._resumed(principal, run_id, answers)

    async def _resumed(self, principal: Principal, run_id: str, answers: object) -> Handle:
        record = await self._runs.get(principal, run_id)
        waiting = (await self._threads.state(principal, record.thread_id))["interrupts"]
        if waiting and not is_answer(answers):
            raise NothingToResume(f"run '{run_id}' waits for answers; send them")
        given = None
        if is_answer(answers):
            given = answers_for(answers, waiting, answered=record.answered)
        return await self._runs.reopen(principal, run_id, given, policy="resume", seen=record.attempts)

    async def _answer(self, new: NewRun, resume: object) -> Handle:
        who, thread_id = new.request.principal, new.thread_id
        found = await self._runs.interrupted_on(who, thread_id)
        waiting = (await self._threads.state(who, thread_id))["interrupts"]
        answers = answers_for(resume, waiting, answered=found.answered if found else ())
        record = found or await self._ledger.adopt_waiting(new)
        return await self._runs.reopen(who, record.id, answers, seen=record.attempts)

    async def _message_id(self, request: TurnRequest, thread_id: str) -> str | None:
        if request.goes_on:
            return None
        if request.message_id and not await self._threads.course.has_message(thread_id, request.message_id):
            return check_id(request.message_id)
        return new_id("m")

    def _tag(self, request: TurnRequest) -> str:
        if not self._duty.run_tags:
            return ""
        return self._duty.tag_of(request.choices.model, request.principal.groups)

    def _policy(self, request: TurnRequest) -> Policy:
        wish = self._editions.now().book[ThreadSettings].orphans
        if wish != "auto":
            return wish
        # Where a run is handed over, its reader is not in the process that may die.
        is_kept = self._duty.hands_over or request.background
        return "resume" if is_kept or request.on_disconnect == "continue" else "end"


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
    except answers.Unreadable as problem:
        raise InvalidInput(f"interrupt '{key}': {problem}") from None


def _other(kind: str, answer: object) -> Answer:
    if problem := answers.unstorable(answer):
        raise answers.Unreadable(problem)
    if isinstance(answer, bool) and kind == "budget":
        answer = {"approve": answer}
    if not isinstance(answer, Mapping):
        raise answers.Unreadable(f"an answer is {_FORMS.get(kind, 'a JSON object')}")
    read = _READERS.get(kind)
    return dict(answer) if read is None else read(answer)


def _budget(value: Mapping[str, Any]) -> Answer:
    _only(value, "budget", "approve", "limit", "reason")
    _typed(value, "approve", bool, "budget")
    _typed(value, "reason", str, "budget", optional=True)
    _typed(value, "limit", (int, float), "budget", optional=True)
    if not 0 < value.get("limit", 1) < float("inf"):
        raise answers.Unreadable("limit must be a number above 0")
    return dict(value)


def _credential(value: Mapping[str, Any]) -> Answer:
    _only(value, "credential", "credential", "decline")
    if ("credential" in value) == ("decline" in value):
        raise answers.Unreadable(f"give one of credential and decline: {_FORMS['credential']}")
    if "decline" in value and value["decline"] is not True:
        raise answers.Unreadable("decline must be true; to agree, name a credential instead")
    _typed(value, "credential", str, "credential", optional=True)
    if value.get("credential") == "":
        raise answers.Unreadable("credential must be the name of a stored credential, not empty")
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
        raise answers.Unreadable(
            f"an answer has no key '{unknown[0][:80]}'; known: {', '.join(known)}; "
            f"an answer is {_FORMS[kind]}"
        )


def _typed(value: Mapping[str, Any], name: str, wanted: Any, kind: str, *, optional: bool = False) -> None:
    if name not in value and optional:
        return
    found = value.get(name)
    # In Python a bool is a number too.
    if name not in value or not isinstance(found, wanted) or (wanted is not bool and isinstance(found, bool)):
        raise answers.Unreadable(f"{name} must be {_WORDS[wanted]}; an answer is {_FORMS[kind]}")
