"""Values that pass between the servers, the executor and the node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from core.access import Principal

Progress = Callable[[float, float | None, str], None]
"""Called with progress, total (None when unknown) and a message."""

Status = Literal["ok", "error", "denied", "timeout", "unknown", "answered"]
"""`answered`: a person wrote the result, and nothing ran."""

Action = Literal["accept", "decline", "cancel"]
"""What a person makes of a server's question: fill it in, say no, or look away."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a server wants to know of a person in the middle of a call (an elicitation).

    Args:
        schema: A JSON schema of a flat object: the form to be filled in.
        number: How many questions this attempt of the call asked before it.
    """

    message: str
    schema: Mapping[str, Any]
    number: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A person's answer; `content` goes with `accept` only."""

    action: Action
    content: Mapping[str, Any] | None = None


Ask = Callable[[Question], Awaitable[Answer]]
"""Answers a server's question at once: the session's other calls wait meanwhile.

What it raises ends the call, and comes out of it.
"""


@dataclass(frozen=True, slots=True)
class ToolInfo:
    """A tool as its server lists it; `parameters` is a JSON schema.

    `repeatable` says that the server calls it read-only or idempotent, `read_only` that it is the former.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    repeatable: bool = False
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class ToolList:
    """The tools of a server that can be called, and a sentence on each thing that was left out."""

    tools: tuple[ToolInfo, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """One part of a tool's answer; binary parts carry base64."""

    kind: Literal["text", "image", "audio", "resource", "link"]
    text: str = ""
    b64: str = ""
    media_type: str = ""
    uri: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class CallResult:
    """What a server answered, before anybody made sense of it."""

    content: tuple[Content, ...] = ()
    structured: Any = None
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds for a start and for a call; bytes for a result's text.

    Args:
        start_s: Also how long a turn that only wants to know the tools waits for a start.
        first_s: For a start of a server that was not up yet (it may be fetched first); not below `start_s`.
    """

    start_s: float
    call_s: float
    result_bytes: int
    first_s: float


class ServerState(StrEnum):
    IDLE = "idle"
    STARTING = "starting"
    UP = "up"
    RESTARTING = "restarting"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """How one server is doing; `since` is when it came up, went down, or was first started."""

    name: str
    state: ServerState
    transport: str
    since: datetime
    tools: int = 0
    restarts: int = 0
    last_error: str = ""
    pid: int | None = None
    left_out: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "state": self.state.value,
            "transport": self.transport,
            "since": self.since.isoformat(),
            "tools": self.tools,
            "restarts": self.restarts,
            "last_error": self.last_error,
            "left_out": list(self.left_out),
        }


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a tool made."""

    id: str
    name: str
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """On whose behalf a call runs, and what it may reach.

    Args:
        files: Names of the thread's files and their keys.
        servers: Servers of this turn; None for all that the principal may use.
        tools: Full tool names of this turn; None for every tool of `servers`.
        client_tools: Tools that the caller runs itself, by their names.
    """

    principal: Principal
    thread_id: str = ""
    run_id: str = ""
    call_id: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    servers: tuple[str, ...] | None = None
    tools: tuple[str, ...] | None = None
    client_tools: Mapping[str, ToolInfo] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """How a call ended. `server` and `tool` are bare names.

    Args:
        arguments: As the model wrote them, or as a person edited them.
        decision: What a person decided before it: `{"type", "by"}`, of an edit also `before` and `after`.
    """

    call_id: str
    server: str
    tool: str
    arguments: Mapping[str, Any]
    status: Status
    text: str
    duration_ms: int = 0
    artifacts: tuple[Artifact, ...] = ()
    display: Mapping[str, Any] | None = None
    decision: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """`begun` before this attempt; `outcome` when that attempt came to its end."""

    begun: bool = False
    outcome: ToolOutcome | None = None
