"""What a search tells beside what it finds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nodes.rag.models import TOLD, Remark


@contextmanager
def remarks() -> Iterator[list[Remark]]:
    """(code, text) of what is remarked inside the block."""
    told: list[Remark] = []
    token = TOLD.set(told)
    try:
        yield told
    finally:
        TOLD.reset(token)
