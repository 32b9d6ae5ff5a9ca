"""Numbers of every target. Names of targets come from the configuration, never from a user."""

from __future__ import annotations

from typing import Literal

from prometheus_client import Counter, Gauge

from core.observability import REGISTRY

Outcome = Literal["ok", "refused", "failed", "timed_out", "cut", "cancelled", "error", "open", "busy"]

STATE = Gauge(
    "waystation_breaker_state",
    "State of a target's circuit breaker: 0 closed, 1 half open, 2 open.",
    ["kind", "name"],
    registry=REGISTRY,
)
CALLS = Counter(
    "waystation_dependency_calls_total",
    "Tries by outcome: the dependency's answers, and calls that never left us (open, busy).",
    ["kind", "name", "outcome"],
    registry=REGISTRY,
)
RETRIES = Counter(
    "waystation_dependency_retries_total",
    "Tries after a failed one.",
    ["kind", "name"],
    registry=REGISTRY,
)
