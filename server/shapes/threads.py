"""Threads, their messages and their checkpoints."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from server.shapes.form import OPEN, Anything, Json, Time
from server.shapes.runs import CallStatus, Citation, Decision, FileRef, Interrupt


class Thread(TypedDict):
    """A thread. `waiting` has the questions that it waits with."""

    id: str
    title: str
    status: Literal["idle", "running", "interrupted", "failed"]
    turns: int
    tags: list[str]
    parent: str | None
    waiting: list[Interrupt]
    metadata: Json
    created_at: Time
    updated_at: Time


class ListedThread(Thread):
    """A thread, with its place in the list."""

    cursor: str


class FoundMessage(TypedDict):
    """A message with the words that were looked for; `marks` are their places in `snippet`."""

    seq: int
    thread_id: str
    title: str
    message_id: str
    role: str
    created_at: Time
    snippet: str
    marks: Annotated[list[list[int]], Field(description="Start and end of each, in characters.")]


class MessageCall(TypedDict):
    """A tool call that an answer makes, by the name that models see."""

    id: str | None
    name: str
    arguments: NotRequired[Json]


class Message(TypedDict):
    """A message; the fields that may be missing belong to answers with calls, and to results of tools."""

    __pydantic_config__ = OPEN  # type: ignore[misc]  # how pydantic wants it
    id: str | None
    role: Literal["user", "assistant", "tool", "system"]
    text: str
    tool_calls: NotRequired[list[MessageCall]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str | None]
    server: NotRequired[str]
    tool: NotRequired[str]
    status: NotRequired[CallStatus]
    duration_ms: NotRequired[float]
    arguments: NotRequired[Json]
    decision: NotRequired[Decision]
    citations: NotRequired[list[Citation]]
    files: NotRequired[Annotated[list[str | FileRef], Field(description="Keys, or what a turn made.")]]
    partial: NotRequired[Annotated[bool, Field(description="It was cut here.")]]


class SaidMessage(Message):
    """A message of the transcript."""

    __pydantic_config__ = OPEN  # type: ignore[misc]  # how pydantic wants it
    seq: int
    run_id: str | None
    created_at: Time


class Transcript(TypedDict):
    """A page of messages, the oldest first; `before` leads to the one before it, null at the beginning."""

    messages: list[SaidMessage]
    before: int | None


class ThreadState(TypedDict):
    """A checkpoint: the window of messages, what comes next, and what waits for a person."""

    messages: list[Message]
    files: list[FileRef]
    next: list[str]
    interrupts: list[Interrupt]
    checkpoint_id: str | None


class Checkpoint(TypedDict):
    """A checkpoint in a list; `messages` is their number in the window."""

    checkpoint_id: str | None
    created_at: Time | None
    step: int | None
    next: list[str]
    messages: int


class Checkpoints(TypedDict):
    """A page of checkpoints, the newest first."""

    checkpoints: list[Checkpoint]
    before: str | None


class LinePoint(TypedDict):
    """A checkpoint of the thread's course; two with the same `parent` are branches."""

    checkpoint_id: str
    parent: str | None
    created_at: Time
    what: Literal["asks", "changed", "began", "ended", "input", "step"]


# In this form, since `from` is a word of Python.
Pair = TypedDict("Pair", {"from": Anything, "to": Anything})
MessagePair = TypedDict("MessagePair", {"from": Message, "to": Message})
FilePair = TypedDict("FilePair", {"from": FileRef, "to": FileRef})
NextBetween = TypedDict("NextBetween", {"from": list[str], "to": list[str]})
QuestionsBetween = TypedDict("QuestionsBetween", {"from": list[Interrupt], "to": list[Interrupt]})


class MessagesBetween(TypedDict):
    """Messages that came, went and changed."""

    added: list[Message]
    removed: list[Message]
    changed: list[MessagePair]


class FilesBetween(TypedDict):
    """Files that came, went and changed."""

    added: list[FileRef]
    removed: list[FileRef]
    changed: list[FilePair]


ThreadDifference = TypedDict(
    "ThreadDifference",
    {
        "from": Checkpoint,
        "to": Checkpoint,
        "messages": MessagesBetween,
        "files": FilesBetween,
        "channels": dict[str, Pair],
        "next": NextBetween,
        "interrupts": QuestionsBetween,
    },
)
