"""What retrieval tells the event bus, after the fact."""

from __future__ import annotations

from dataclasses import dataclass

from core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalDone(Event):
    """Sources were searched for a turn or a command.

    Args:
        sources: Names of those that were asked.
        passages: How many were found.
        failed: Names of those that did not answer.
    """

    sources: tuple[str, ...]
    passages: int
    failed: tuple[str, ...]
    duration_ms: int
