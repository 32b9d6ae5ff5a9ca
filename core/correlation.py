"""Which request, run, thread and user the current task works for; logs, events and spans read it here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import structlog

# What a log line may name. The user is not among them: the audit log has that.
_LOGGED = ("request_id", "run_id", "thread_id")


@dataclass(frozen=True, slots=True)
class Correlation:
    """Ids of what is being worked on; "" where there is none."""

    request_id: str = ""
    run_id: str = ""
    thread_id: str = ""
    user: str = ""


_NOTHING = Correlation()
_current: ContextVar[Correlation] = ContextVar("waystation_correlation", default=_NOTHING)


def current() -> Correlation:
    """What the current task works for."""
    return _current.get()


@contextmanager
def correlated(**ids: str) -> Iterator[Correlation]:
    """Inside the block, and in tasks that are made there, these ids hold; the others stay.

    Args:
        ids: Fields of `Correlation`.
    """
    now = replace(_current.get(), **ids)
    token = _current.set(now)
    logged = {name: getattr(now, name) for name in _LOGGED if getattr(now, name)}
    try:
        with structlog.contextvars.bound_contextvars(**logged):
            yield now
    finally:
        _current.reset(token)
