"""Which services a question has come through: two that are a source of each other would ask for ever.

As CDN-Loop does for caches (RFC 8586): each puts its mark behind those before it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from nodes.rag.errors import SourceLoop

HEADER = "x-retrieval-via"
MOST = 8
_so_far: ContextVar[tuple[str, ...]] = ContextVar("waystation_retrieval_via", default=())


@cache
def _mark_of(process: int) -> str:
    return f"{process:x}-{secrets.token_hex(8)}"


def _own() -> str:
    """Of this process; one that is forked from it is another."""
    return _mark_of(os.getpid())


def passed_on() -> str:
    """The header's value for a service that is asked now."""
    return ",".join([*_so_far.get(), _own()])


@contextmanager
def arrived(value: str | None) -> Iterator[None]:
    """Within the block, questions are passed on as what came with this header.

    Raises:
        SourceLoop: It has been here before, or came through too many services.
    """
    marks = tuple(filter(None, (value or "")[:1000].replace(" ", "").split(",")))
    if _own() in marks or len(marks) > MOST:
        raise SourceLoop(f"the question comes back here after {len(marks)} services that ask each other")
    token = _so_far.set(marks)
    try:
        yield
    finally:
        _so_far.reset(token)
