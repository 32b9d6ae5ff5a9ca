"""Logs for people and machines, and the numbers behind `/metrics`.

No content, user or thread ever becomes a label.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()

DURATION = Histogram(
    "waystation_operation_seconds",
    "Time an operation took.",
    ["operation", "outcome"],
    registry=REGISTRY,
)
TURNS = Counter("waystation_turns_total", "Turns that ended, by status.", ["status"], registry=REGISTRY)
RUNNING = Gauge("waystation_turns_running", "Turns that run now.", registry=REGISTRY)
TOKENS = Counter("waystation_tokens_total", "Tokens that models counted.", ["kind"], registry=REGISTRY)


@contextmanager
def track_duration(operation: str) -> Iterator[None]:
    """Observe how long the block takes, in seconds, with outcome ok or error.

    Args:
        operation: A fixed name such as "llm_call"; never anything a user typed.
    """
    started = time.perf_counter()
    outcome = "error"
    try:
        yield
        outcome = "ok"
    finally:
        DURATION.labels(operation, outcome).observe(time.perf_counter() - started)


def metrics_text() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)


def configure_logging(*, level: str = "info", as_json: bool = True) -> None:
    """Send structured logs to stderr, one JSON object a line (or coloured text)."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
