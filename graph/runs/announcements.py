"""What the event bus hears of turns."""

from __future__ import annotations

from dataclasses import dataclass

from core.events import Event


@dataclass(frozen=True, slots=True)
class TurnStarted(Event):
    """A turn was let in; `model` is the caller's wish, "" for the default."""

    model: str


@dataclass(frozen=True, slots=True)
class TurnFinished(Event):
    """A turn ended: done, interrupted, failed or cancelled; `code` is the error's."""

    status: str
    code: str
    model: str
    input_tokens: int
    output_tokens: int
    tool_calls: int
    duration_ms: int
