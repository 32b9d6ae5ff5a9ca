"""Runs, their replies, and what stands in these."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from server.shapes.form import OPEN, Anything, Json, Time

Status = Literal["queued", "running", "interrupted", "done", "failed", "cancelled"]
Ended = Literal["interrupted", "done", "failed", "cancelled"]
CallStatus = Literal["ok", "error", "denied", "timeout", "unknown", "answered"]


class TokenUsage(TypedDict):
    """Tokens of all model calls of a run, and the model that answered last."""

    input_tokens: int
    output_tokens: int
    model: str


class Failure(TypedDict):
    """Why a run failed. `code` is stable."""

    code: str
    title: str
    detail: NotRequired[str]
    retryable: NotRequired[bool]


class TurnError(TypedDict, total=False):
    """Why a turn of a batch failed; empty where it did not. `code` is stable."""

    code: str
    title: str
    detail: str
    retryable: bool


class Citation(TypedDict):
    """The passage behind an [n] of the answer."""

    n: int
    source: str
    document: str
    title: str
    quote: str
    uri: str


class FileRef(TypedDict):
    """A file of a turn; its content is behind `/files/{key}/content`."""

    key: str
    name: str
    media_type: str
    size: int
    origin: NotRequired[Literal["user", "tool"]]
    thread: NotRequired[str | None]


class Decision(TypedDict):
    """What a person decided."""

    __pydantic_config__ = OPEN  # type: ignore[misc]  # how pydantic wants it
    type: str
    by: NotRequired[str]
    at: NotRequired[Time]
    reason: NotRequired[str]
    before: NotRequired[Annotated[Json, Field(description="Arguments of a call that was changed.")]]
    after: NotRequired[Json]
    fields: NotRequired[list[str]]


class CallRecord(TypedDict):
    """A tool call that has ended."""

    id: str
    server: str
    tool: str
    arguments: Json
    status: CallStatus
    duration_ms: float
    decision: NotRequired[Decision]


class AskedCall(TypedDict):
    """The tool call that a question is about."""

    id: str | None
    server: str
    tool: str
    arguments: NotRequired[Json | None]


class ActionRequest(TypedDict):
    """What is asked for, in the words of LangGraph's agent inbox."""

    name: str
    args: Json | None
    description: str


class ReviewConfig(TypedDict):
    """What may be decided about it."""

    action_name: str
    allowed_decisions: list[str]
    args_schema: NotRequired[Json | None]


class Interrupt(TypedDict):
    """A question to a person. A step of others may ask with fields of its own."""

    __pydantic_config__ = OPEN  # type: ignore[misc]  # how pydantic wants it
    id: str
    kind: NotRequired[str]
    detail: NotRequired[str]
    call: NotRequired[AskedCall]
    action_requests: NotRequired[list[ActionRequest]]
    review_configs: NotRequired[list[ReviewConfig]]
    asked: NotRequired[str]
    problem: NotRequired[str]
    client: NotRequired[bool]
    schema: NotRequired[Annotated[Json, Field(title="Form of the answer")]]


class Reply(TypedDict):
    """What a turn put out."""

    answer: str
    status: Ended
    thread_id: str
    run_id: str
    citations: list[Citation]
    files: list[FileRef]
    tool_calls: list[CallRecord]
    interrupts: list[Interrupt]
    usage: TokenUsage


class _RunHead(TypedDict):
    run_id: str
    thread_id: str
    status: Status
    reason: str
    attempts: int
    created_at: Time
    started_at: Time | None
    ended_at: Time | None
    usage: TokenUsage
    cost: float | None


class Run(_RunHead):
    """A run, with its output or error when it has one. `cost` is null where no price is known."""

    output: Reply | None
    error: Failure | None


class ListedRun(Run):
    """A run of a thread, with its place in the list."""

    cursor: str


class OwnedRun(ListedRun):
    """A run of a list over all threads. Of somebody else's, `message` is empty and `output` null."""

    user: str
    message: str


class RanRun(_RunHead):
    """A run without what it put out."""


class BegunRun(TypedDict):
    """A run that goes on in the background: `/runs/{run_id}/events` follows it."""

    run_id: str
    thread_id: str
    status: Status


class EditedRun(BegunRun):
    """A run on a fork; `parent` is the thread whose message was said differently."""

    parent: str


class RunCounts(TypedDict):
    """Runs by status; `waiting` are threads that wait for a person."""

    queued: int
    running: int
    interrupted: int
    done: int
    failed: int
    cancelled: int
    waiting: int


class DecidedCall(TypedDict):
    """The tool call that was decided about."""

    id: str | None
    server: str | None
    tool: str | None
    arguments: NotRequired[Json]
    status: NotRequired[CallStatus]
    duration_ms: NotRequired[float]


class AskedQuestion(TypedDict):
    """A question that waits (`question`), or what was decided (`kind`, `call`, `decision`)."""

    thread_id: str
    thread_title: str
    run_id: str | None
    cursor: str
    asked_at: NotRequired[Time]
    question: NotRequired[Interrupt]
    ended_at: NotRequired[Time | None]
    kind: NotRequired[str]
    call: NotRequired[DecidedCall | None]
    detail: NotRequired[str | None]
    decision: NotRequired[Decision]


class QuestionCount(TypedDict):
    """How many questions wait."""

    waiting: int


class Step(TypedDict):
    """What a step did; the fields beside `node` are those of its kind."""

    __pydantic_config__ = OPEN  # type: ignore[misc]  # how pydantic wants it
    node: str
    status: NotRequired[str]
    answer: NotRequired[str]
    error: NotRequired[str]
    text: NotRequired[str]
    name: NotRequired[str]
    arguments: NotRequired[Anything]


class Parting(TypedDict):
    """Where two runs differ; null: that run has no such step."""

    step: int
    first: Step | None
    second: Step | None


class Comparison(TypedDict):
    """Two runs, step by step."""

    same: bool
    runs: list[RanRun]
    steps: list[list[Step]]
    differences: list[Parting]


class ReplayParting(TypedDict):
    """Where the replay differs from the recording."""

    step: int
    recorded: Step | None
    replayed: Step | None


class Replayed(TypedDict):
    """A run again, through the graph of now."""

    same: bool
    status: str
    answer: str
    tool_calls: list[CallRecord]
    interrupts: list[Interrupt]
    error: Failure | None
    steps: list[Step]
    differences: list[ReplayParting]
