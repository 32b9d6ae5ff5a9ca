"""What breakers tell the event bus."""

from __future__ import annotations

from dataclasses import dataclass

from core.events.subscription import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerOpened(Event):
    """A target failed too often and is left alone; told once, however often its probes fail."""

    kind: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerClosed(Event):
    """A target answers again, an operator reset its breaker, or the configuration has it no more."""

    kind: str
    name: str
