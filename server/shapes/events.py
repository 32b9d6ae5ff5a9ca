"""The events of a run, by their type: what `/agent/stream` and `/runs/{run_id}/events` send."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypeAliasType, TypedDict

from server.shapes.form import OPEN, Anything, Json, Time
from server.shapes.runs import (
    ActionRequest,
    AskedCall,
    CallRecord,
    CallStatus,
    Citation,
    Decision,
    Ended,
    FileRef,
    Interrupt,
    ReviewConfig,
    TokenUsage,
)


class _Event(TypedDict):
    seq: Annotated[int, Field(description="1, 2, 3, …: the `id` of the event in a stream.")]
    run_id: str
    at: NotRequired[Annotated[Time, Field(description="When it was told; only in pages of stored events.")]]


class RunStarted(_Event):
    """The turn was let in and its message is stored."""

    type: Literal["run_started"]
    thread_id: str
    attempt: int


class ConfigTold(_Event):
    """What this turn uses."""

    type: Literal["config"]
    model: str
    tools: list[str]
    sources: list[str]


class FoundPassage(TypedDict):
    """A passage that was found, without its text."""

    n: int
    source: str
    document: str
    title: str
    score: float


class FailedSource(TypedDict):
    """A source that did not answer, and why."""

    source: str
    reason: str


class DocumentsFound(_Event):
    """Passages that were found. `searched` is there where another text than the question was searched for."""

    type: Literal["documents"]
    items: list[FoundPassage]
    failed: list[FailedSource]
    searched: NotRequired[str]


class AnswerBegun(_Event):
    """An answer begins, which will stand in the thread under this `id`. Detailed runs only."""

    type: Literal["answer"]
    id: str


class TokenTold(_Event):
    """A piece of the answer."""

    type: Literal["token"]
    delta: str


class ReasoningTold(_Event):
    """A piece of what the model thinks aloud."""

    type: Literal["reasoning"]
    delta: str


class ToolCalled(_Event):
    """A tool is called. `decision` is there where a person decided."""

    type: Literal["tool_call"]
    id: str
    server: str
    tool: str
    arguments: Json
    decision: NotRequired[Decision]


class ToolProgress(_Event):
    """A tool tells how far it is; `total` is null where nobody knows."""

    type: Literal["tool_progress"]
    id: str
    progress: float
    total: float | None
    message: str


class ToolResult(_Event):
    """A tool has answered, or a person in its place."""

    type: Literal["tool_result"]
    id: str
    status: CallStatus
    content: str
    duration_ms: float
    files: Annotated[list[str], Field(description="Names of the files that it made.")]
    display: NotRequired[Json]


class Interrupted(_Event):
    """The turn pauses for a person. A step of others may ask with fields of its own."""

    __pydantic_config__ = OPEN  # type: ignore[misc]  # how pydantic wants it
    type: Literal["interrupt"]
    id: str
    kind: str
    detail: NotRequired[str]
    call: NotRequired[AskedCall]
    action_requests: NotRequired[list[ActionRequest]]
    review_configs: NotRequired[list[ReviewConfig]]
    asked: NotRequired[str]


class StepEnded(_Event):
    """A step of the graph has ended: its messages, and what it wrote. Detailed runs only."""

    type: Literal["step"]
    name: str
    said: list[Json]
    writes: Json


class FileAdded(_Event):
    """A file was added to the thread."""

    type: Literal["file"]
    key: str
    name: str
    media_type: str
    size: int


class UsageTold(_Event):
    """What one model call used. `cost` is null where no price is configured."""

    type: Literal["usage"]
    input_tokens: int
    output_tokens: int
    model: str
    cost: float | None


class NoticeTold(_Event):
    """Something that a person should know and that is no error."""

    __pydantic_config__ = OPEN  # type: ignore[misc]  # how pydantic wants it
    type: Literal["notice"]
    code: str
    detail: str


class RunFailed(_Event):
    """The turn failed. This is the last event."""

    type: Literal["error"]
    code: str
    title: str
    detail: str
    retryable: bool


class RunDone(_Event):
    """The turn ended, also when it was interrupted or cancelled. This is the last event."""

    type: Literal["done"]
    answer: str
    status: Ended
    thread_id: str
    citations: list[Citation]
    files: list[FileRef]
    tool_calls: list[CallRecord]
    interrupts: list[Interrupt]
    usage: TokenUsage


RunEvent = TypeAliasType(
    "RunEvent",
    Annotated[
        RunStarted
        | ConfigTold
        | DocumentsFound
        | AnswerBegun
        | TokenTold
        | ReasoningTold
        | ToolCalled
        | ToolProgress
        | ToolResult
        | Interrupted
        | StepEnded
        | FileAdded
        | UsageTold
        | NoticeTold
        | RunFailed
        | RunDone,
        Field(discriminator="type"),
    ],
)


class EventPage(TypedDict):
    """Stored events; `next` is the `after` of the next page, null behind the last."""

    events: list[RunEvent]
    next: int | None


class PatchOp(TypedDict):
    """An operation of JSON Patch (RFC 6902)."""

    op: str
    path: str
    value: NotRequired[Anything]


class LogPatch(TypedDict):
    """Patches that build up LangChain's log of a run."""

    ops: list[PatchOp]


class LangChainEvent(TypedDict):
    """An event of LangChain, in the second version of its schema."""

    __pydantic_config__ = OPEN  # type: ignore[misc]  # how pydantic wants it
    event: str
    name: str
    run_id: str
    data: Json
    tags: NotRequired[list[str]]
    metadata: NotRequired[Json]
    parent_ids: NotRequired[list[str]]


class MessageChunk(TypedDict):
    """A piece of an assistant's message, as LangChain writes one."""

    __pydantic_config__ = OPEN  # type: ignore[misc]  # how pydantic wants it
    type: Literal["AIMessageChunk"]
    content: str
    id: str | None
    response_metadata: NotRequired[Json]
