"""How long one answer of the database is waited for: a request has less time than a migration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# Somebody gets an answer within five seconds, also when the database gives none.
ANSWER_S = 4.0
# What a connection may take to show that it is alive: a new one can then be made in time.
PING_S = 1.0
CONNECT_S = 2.5
# For tasks, which nobody waits for on a connection, and for migrations.
TASK_S = 60.0
UNHURRIED_S = 600.0

_seconds: ContextVar[float | None] = ContextVar("waystation_database_patience", default=None)


def patience() -> float:
    """Seconds that a statement of this task may take."""
    return _seconds.get() or ANSWER_S


def is_given() -> bool:
    """Whether this task has said how long it waits."""
    return _seconds.get() is not None


@contextmanager
def patient(seconds: float) -> Iterator[None]:
    """Statements of the block may take this long."""
    token = _seconds.set(seconds)
    try:
        yield
    finally:
        _seconds.reset(token)
