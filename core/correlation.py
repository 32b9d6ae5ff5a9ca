"""What the current task works for, and who listens to remarks on how its answer came about.

Logs, events and spans read request, run, thread and user here. A remark where nobody listens is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


_answers: ContextVar[set[str] | None] = ContextVar("waystation_answers", default=None)


def given_answers() -> set[str]:
    """Ids under which this attempt of a run has answers; whoever finishes one adds its own."""
    found = _answers.get()
    return set() if found is None else found


@contextmanager
def answering() -> Iterator[None]:
    """Inside the block, and in tasks that are made there, an answer's id is given once."""
    token = _answers.set(set())
    try:
        yield
    finally:
        _answers.reset(token)


Sink = Callable[[str, str], None]

_sink: ContextVar[Sink | None] = ContextVar("waystation_notices", default=None)


def notice(code: str, text: str) -> None:
    """Remark on what is going on; nothing happens where nobody listens.

    Args:
        code: A fixed name such as "cache_status".
        text: One short line without content, secret or path.
    """
    sink = _sink.get()
    if sink is not None:
        sink(code, text)


@contextmanager
def listening(sink: Sink) -> Iterator[None]:
    """Inside the block, and in tasks that are made there, `sink(code, text)` gets each notice."""
    token = _sink.set(sink)
    try:
        yield
    finally:
        _sink.reset(token)
