"""Remarks on how an answer came about; shown in a run's events where somebody listens, otherwise dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

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
