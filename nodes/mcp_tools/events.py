"""What this module tells the event bus."""

from __future__ import annotations

from dataclasses import dataclass

from core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolExecuted(Event):
    """A call of a tool has ended, or was not made.

    Args:
        server, tool: Bare names; "" where the model made the name up.
        status: As in `tool_result`, or "cancelled": the caller left, and what the tool did is unknown;
            or "asked": it ended with a question for a person, and is made again with the answer.
    """

    server: str
    tool: str
    status: str
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReviewed(Event):
    """A person decided on a call; who it was stands in `by`, and what they wrote in the thread's transcript.

    Args:
        decision: approve, edit, reject or respond.
        changed: Names of the tool's parameters that an edit changed.
    """

    server: str
    tool: str
    decision: str
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUp(Event):
    """A session with a tool server is open: at the start, or again after it was down."""

    server: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDown(Event):
    """A tool server went away or could not be started; told once, until it is up again.

    Closing it because it is needed no more tells nothing.
    """

    server: str
    reason: str
