"""A run: what a caller asks for, what the ledger keeps of it, and a turn that is going in this process."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from langchain_core.messages import HumanMessage
from langgraph.runtime import RunControl
from sqlalchemy import RowMapping

from core.access import Principal
from core.choices import DEFAULT, Choices
from core.cursor import cursor
from core.errors import WaystationError
from core.observability import traceparent
from graph.flow.routing import MOST_STEPS, StepTimes
from graph.flow.state import calls_of, in_order
from graph.runs.events import EventLog
from graph.runs.lease import Hold
from graph.runs.names import renewed_reply

OnDisconnect = Literal["cancel", "continue"]
OnBusy = Literal["reject", "enqueue", "interrupt"]
Policy = Literal["resume", "end"]
# How a running run is stopped: at once, at its next checkpoint for the message behind it or for a
# shutdown, because another process has it now, or because the database has been away for too long.
Stop = Literal["cancel", "supersede", "drain", "lost", "outage"]

STATUSES = ("queued", "running", "interrupted", "done", "failed", "cancelled")
ACTIVE = ("queued", "running")
# How long a caller that sees no events waits for a database that is away: it hears within five seconds.
WAITED_SECONDS = 4.5
# After which an attempt that went on in spite of its cancellation is cancelled again: longer than a write
# that a cancelled caller waits for.
CUT_AGAIN_SECONDS = 5.5
# Event numbers that are reserved at a time, see `EventLog.limit`.
SEQ_BLOCK = 1_000


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What a caller asks for; exactly one of message and resume.

    Args:
        principal: The authenticated caller.
        files: Keys of uploaded files that go with the message.
        resume: Answers to interrupts, as `graph.service.answers.answers_for` reads them.
        thread_id: None starts a new thread.
        choices: What the turn shall run with.
        on_busy: What a message does that finds a run going, or a question open:
            reject it, wait in line, or take its place.
        idempotency_key: The same key of the same caller gives the same run.
        conversation: A hash of all that was said up to and with the message, by which a client that
            keeps the conversation itself finds the run again.
        webhook: Name of a hook of the settings that is told of the end.
        told_as: In whose words the webhook is told, see `graph.runs.webhook_body`; empty for ours.
        background: Nobody waits for it on a connection.
        detailed: Events also tell under which id an answer will stand, and what each step wrote.
        checkpoint: The checkpoint of the thread from which the turn goes on; None for the newest.
        goes_on: Neither message nor answer: the graph goes on from where the checkpoint stands.
        message_id: The id of the message, where the caller has one; a fresh one where the thread has it.
        about: What the caller notes about the run, as JSON.
        delay: Seconds from now before which it does not begin.
    """

    principal: Principal
    message: str = ""
    files: tuple[str, ...] = ()
    resume: Any = None
    thread_id: str | None = None
    choices: Choices = DEFAULT
    on_disconnect: OnDisconnect = "cancel"
    on_busy: OnBusy = "reject"
    idempotency_key: str | None = None
    conversation: str | None = None
    webhook: str | None = None
    told_as: str = ""
    background: bool = False
    detailed: bool = False
    checkpoint: str | None = None
    goes_on: bool = False
    message_id: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    delay: float = 0

    def as_json(self) -> dict[str, Any]:
        """What the ledger keeps; the caller's rights stand in columns of their own."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _BESIDE}
        # Requests without them have the digest that earlier releases gave them.
        return {k: v for k, v in own.items() if v or k not in _WHERE_GIVEN} | self.choices.as_json()

    @classmethod
    def of(cls, principal: Principal, kept: Mapping[str, Any]) -> TurnRequest:
        """The request again, from what the ledger keeps."""
        known = {name: value for name, value in kept.items() if name in cls.__dataclass_fields__}
        files = tuple(known.pop("files", ()))
        return cls(principal, files=files, choices=Choices.of(kept), **known)

    def digest(self) -> str:
        """A hash of what is asked for: tells a repeated request from another one with its key."""
        asked = {name: value for name, value in self.as_json().items() if name != "on_disconnect"}
        return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()


CURSOR = "run"
# Runs in line stand a thousandth of a second behind each other; what is further ahead waits for its time.
IN_LINE_S = 1.0
_WHERE_GIVEN = frozenset({"told_as", "detailed", "checkpoint", "goes_on", "message_id", "about", "delay"})
_BESIDE = frozenset({"principal", "choices", "resume", "idempotency_key", "conversation", "webhook"})


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the ledger has it: its request, its status, and how it ended."""

    id: str
    thread_id: str
    request: TurnRequest
    status: str
    reason: str
    attempts: int
    policy: Policy
    message_id: str | None
    answers: Mapping[str, Any] | None
    holder: str | None
    seq_limit: int
    request_id: str
    created_at: float
    started_at: float | None
    ended_at: float | None
    output: dict[str, Any] | None
    error: dict[str, Any] | None
    model: str
    input_tokens: int
    output_tokens: int
    input_hash: str
    # What its model calls cost, as far as prices are known.
    cost: float | None = None
    # When each of its steps worked, see `Run.step_rows`.
    steps: tuple[Mapping[str, Any], ...] = ()
    # Attempts that came to an end in order: paused for a person, or stopped for a shutdown.
    earlier: int = 0
    # Ids of questions that have had their answer.
    answered: tuple[str, ...] = ()
    # Which workers may take it up; None for those of no tag.
    tag: str | None = None

    @property
    def tries(self) -> int:
        """Attempts since the last that did not die."""
        return self.attempts - self.earlier

    @property
    def active(self) -> bool:
        return self.status in ACTIVE

    def as_json(self) -> dict[str, Any]:
        """The run as its owner sees it; times are ISO 8601 in UTC."""
        return {
            "run_id": self.id,
            "thread_id": self.thread_id,
            "status": self.status,
            "reason": self.reason,
            "attempts": self.attempts,
            "created_at": _iso(self.created_at),
            "started_at": _iso(self.started_at),
            "ended_at": _iso(self.ended_at),
            "usage": {
                "input_tokens": self.input_tokens,
                "output_tokens": self.output_tokens,
                "model": self.model,
            },
            "cost": self.cost,
            "output": self.output,
            "error": self.error,
        }

    def as_row(self) -> dict[str, Any]:
        """The run in a list, with its place there."""
        return {**self.as_json(), "cursor": cursor(CURSOR, self.created_at, self.id)}


_ELSEWHERE = frozenset({"request", "answers", "earlier", "answered", "output", "steps"})


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def record_of(row: Mapping[str, Any] | RowMapping, request: TurnRequest | None = None) -> RunRecord:
    """A row as a record; `request` where it is at hand and need not be read from the row."""
    kept = row["request"]
    if request is None:
        rights = (frozenset(row[name]) for name in ("groups", "levels", "scopes"))
        beside = {"webhook": row["webhook"], "idempotency_key": row["idempotency_key"]}
        request = TurnRequest.of(Principal(row["owner"], *rights), {**kept, **beside})
    return RunRecord(
        request=request,
        answers=kept.get("answers"),
        earlier=kept.get("earlier", 0),
        answered=tuple(kept.get("answered", ())),
        output=renewed_reply(row["output"]) if row["output"] else None,
        steps=tuple(row["steps"] or ()),
        **{name: row[name] for name in RunRecord.__dataclass_fields__ if name not in _ELSEWHERE},
    )


@dataclass(slots=True)
class Outcome:
    """What a run has gathered so far; becomes its reply.

    `asked` are the calls that the model had made before this attempt, in their order.
    """

    messages: list[Any] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    interrupts: list[dict[str, Any]] = field(default_factory=list)
    streamed: list[str] = field(default_factory=list)
    earlier_calls: list[dict[str, Any]] = field(default_factory=list)
    # Ids of the turn's calls, in the model's order.
    asked: list[str] = field(default_factory=list)
    # The turn's answer where it stood before this attempt: a further step paused behind it.
    earlier_answer: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    model: str = ""
    cost: float | None = None
    status: str = ""

    @classmethod
    def after(cls, record: RunRecord) -> Outcome:
        """What an earlier attempt of the run had gathered when it paused."""
        output = record.output
        if not output:
            return cls()
        usage = output.get("usage") or {}
        return cls(
            files=list(output.get("files", ())),
            earlier_calls=list(output.get("tool_calls", ())),
            input_tokens=usage.get("input_tokens", 0),
            output_tokens=usage.get("output_tokens", 0),
            model=usage.get("model", ""),
            cost=record.cost,
        )

    def used(self) -> dict[str, Any]:
        """What its model calls took, by the names of the ledger's columns."""
        return {name: getattr(self, name) for name in ("model", "input_tokens", "output_tokens", "cost")}

    def put_in_order(self) -> None:
        """Results and questions in the order of their calls, whichever came first."""
        self.asked += [call for call in calls_of(self.messages) if call not in self.asked]
        self.messages = in_order(self.messages, self.asked)
        places = {call: place for place, call in enumerate(self.asked)}
        self.interrupts.sort(key=lambda asks: places.get(_call_of(asks), len(places)))


def added(cost: float | None, more: Any) -> float | None:
    """A sum of costs; None where no price is known."""
    return cost if not isinstance(more, (int, float)) else (cost or 0.0) + more


def _call_of(interrupt: Mapping[str, Any]) -> str:
    call = interrupt.get("call")
    return str(call.get("id")) if isinstance(call, Mapping) else ""


class Run:
    """One attempt of a run, going in this process."""

    def __init__(self, record: RunRecord, hold: Hold, *, floor: int = 0) -> None:
        self.record = record
        self.id = record.id
        self.thread_id = record.thread_id
        self.request = record.request
        self.hold = hold
        self.attempt = record.attempts
        self.steps = StepTimes()
        self.log = EventLog(record.id, floor=floor, limit=record.seq_limit)
        self.control = RunControl()
        self.task: asyncio.Task[None] | None = None
        self.stopped: Stop | None = None
        # Set by whoever adopts an orphan that shall not go on: it is only settled and ended.
        self.only_end = False
        self.begun = False
        # Whether the user's message stands in the transcript.
        self.message_stored = record.attempts == 1 and not hold.dirty
        self.ending = False
        # Once it has ended: whether another run waits for the thread.
        self.more_wait = False
        # The webhook delivery that its end has left.
        self.delivery: str | None = None
        self.is_late = False
        self._is_cut = False
        self.error: WaystationError | None = None
        # The database that the attempt waits for, for longer than a caller on a connection would.
        self.away: WaystationError | None = None
        self.held_up = asyncio.Event()
        self.waits = False
        self._alarm: asyncio.TimerHandle | None = None
        # The turn runs in a context of its own; what it belongs to is taken along here.
        self.request_id = record.request_id
        self.traceparent = traceparent()

    def step_rows(self, now: float) -> list[dict[str, Any]]:
        """When each step worked, those of earlier attempts too, for the ledger.

        Args:
            now: Epoch seconds by the database's clock.
        """
        ago = now - time.monotonic()
        mine = [
            {
                "name": step.name,
                "attempt": self.attempt,
                "at": round(step.began + ago, 4),
                "ms": round((step.ended - step.began) * 1000, 1) if step.end else None,
                "end": step.end,
            }
            for step in list(self.steps)
        ]
        return [*(dict(step) for step in self.record.steps), *mine][-MOST_STEPS:]

    def begin(self) -> None:
        """The task runs. Raises CancelledError when somebody has stopped it before."""
        self.begun = True
        if self.stopped:
            raise asyncio.CancelledError

    def stop(self, how: Stop, *, grace_s: float = 0.0) -> None:
        """End the attempt: at its next checkpoint, or at once when it has not come there in `grace_s`."""
        if self.ending or self.stopped in ("cancel", "lost"):
            return
        if how != "drain" or self.stopped is None:
            self.stopped = how
        if how == "lost":
            self.log.abandon()
        if grace_s <= 0:
            self._cut()
            return
        self.control.request_drain(how)
        asyncio.get_running_loop().call_later(grace_s, self._cut)

    def is_over_time(self) -> None:
        """It has taken as long as a turn may: it is cut, and again for as long as it goes on."""
        self.is_late = True
        self._cut()

    def meets(self, error: WaystationError, took: float) -> None:
        """The database is away. Callers that wait for the reply alone are told when it stays so."""

        def tell() -> None:
            self.away = error
            self.held_up.set()

        self.over_it()
        self.waits = True
        self._alarm = asyncio.get_running_loop().call_later(max(WAITED_SECONDS - took, 0.0), tell)

    def over_it(self) -> None:
        """The database is back."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self.away, self.waits = None, None, False
        self.held_up.clear()

    def _cut(self) -> None:
        # A task that is cancelled before its first step would never end its run.
        if self.task is not None and self.begun and not self.ending and not self._is_cut:
            self._is_cut = True
            # A step is done in this very task: one that swallows its end is the last one.
            self.control.request_drain("cut")
            self._cancel()

    def _cancel(self) -> None:
        # A library, or a tool, may swallow a cancellation: what goes on in spite of one gets another.
        if self.task is not None and not self.ending and not self.task.done():
            self.task.cancel()
            asyncio.get_running_loop().call_later(CUT_AGAIN_SECONDS, self._cancel)


def message_of(run: Run) -> HumanMessage:
    """The user's message as the thread keeps it."""
    return HumanMessage(run.request.message, id=run.record.message_id)
