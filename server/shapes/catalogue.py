"""What the caller may use, and the parts behind a turn."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from server.shapes.events import FailedSource
from server.shapes.form import Json, Time
from server.shapes.runs import CallStatus

State = Literal["idle", "starting", "up", "restarting", "down", "off", "left out"]


class ModelShown(TypedDict):
    """A model that may be named in `configurable.model`."""

    name: str
    description: str
    default: bool


class CollectionShown(TypedDict):
    """A part of a remote source."""

    id: str
    label: str
    description: str
    compliance_level: str
    groups: list[str]
    auth_required: bool


class SourceShown(TypedDict):
    """A source that may be searched. Of one that is elsewhere, nobody knows what it holds."""

    name: str
    type: str
    display_name: str
    description: str
    compliance_level: str
    collections: list[CollectionShown]
    problem: str
    documents: int | None
    chunks: int | None
    skipped: int
    reasons: dict[str, str]
    index: Json | None


class ServerListed(TypedDict):
    """A tool server; `reason` says why one is left out."""

    name: str
    description: str
    state: State
    tools: list[str]
    left_out: NotRequired[list[str]]
    require_approval: NotRequired[list[str]]
    reason: NotRequired[str]


class ToolShown(TypedDict):
    """A tool by its full name, with the JSON schema of its parameters."""

    name: str
    description: str
    parameters: Json
    server: str


class ServerTool(TypedDict):
    """A tool of a server; `tool` is its name there, `approval` whether it asks first."""

    name: str
    description: str
    parameters: Json
    tool: str
    approval: bool


class _Server(TypedDict):
    state: State
    since: Time | None
    transport: NotRequired[str]
    restarts: NotRequired[int]
    last_error: NotRequired[str]
    left_out: NotRequired[list[str]]


class ServerShown(_Server):
    """How a tool server does, and its tools."""

    name: str
    description: str
    tools: list[ServerTool]


class ServerRestarted(_Server):
    """How a tool server does after its restart; `tools` is their number."""

    server: str
    tools: int


class ServerLog(TypedDict):
    """The last lines of a server's log."""

    server: str
    lines: list[str]


class MadeFile(TypedDict):
    """A file that a tool made; nothing keeps it."""

    name: str
    media_type: str
    size: int


class ToolTried(TypedDict):
    """What a call of a tool gave."""

    server: str
    tool: str
    status: CallStatus
    duration_ms: float
    content: str
    files: list[MadeFile]


class DocumentShown(TypedDict):
    """A document of a source; `problem` says why it was left out."""

    name: str
    chunks: int
    size: int
    modified: Annotated[float | None, Field(description="Epoch seconds.")]
    language: str
    problem: str
    notes: list[str]


class DocumentsShown(TypedDict):
    """A page of documents; `total` counts them all."""

    total: int
    documents: list[DocumentShown]


class ChunkShown(TypedDict):
    """A piece of a document; `start` and `end` count characters of its text."""

    title: str
    text: str
    start: int
    end: int
    uri: str


class PassageShown(TypedDict):
    """A passage for a question."""

    n: int
    source: str
    document: str
    title: str
    text: str
    score: float
    uri: str
    start: int
    end: int


class PassagesShown(TypedDict):
    """Passages, the best first; `failed` says why there are none."""

    passages: list[PassageShown]
    failed: list[FailedSource]
    duration_ms: float
