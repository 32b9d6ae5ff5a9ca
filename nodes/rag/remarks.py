"""What the people of a turn are told about its search, beside what was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Remark = tuple[str, str]

_told: ContextVar[list[Remark] | None] = ContextVar("waystation_rag_remarks", default=None)


def remark(code: str, text: str) -> None:
    """Tell whoever asked; once for each text, and nobody where nobody listens."""
    told = _told.get()
    if told is not None and (code, text) not in told:
        told.append((code, text))


@contextmanager
def remarks() -> Iterator[list[Remark]]:
    """(code, text) of what is remarked inside the block, also in tasks that are made there."""
    told: list[Remark] = []
    token = _told.set(told)
    try:
        yield told
    finally:
        _told.reset(token)
