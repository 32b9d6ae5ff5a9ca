"""A process of a test that dies at a place: whoever comes there goes no further."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from graph.errors import LeaseLost


@contextmanager
def dying_at(kind: type, method: str) -> Iterator[asyncio.Event]:
    """Whoever comes there within the block goes no further; the event says that somebody has."""
    reached, over = asyncio.Event(), asyncio.Event()

    async def die(*_: object, **__: object) -> None:
        reached.set()
        await over.wait()
        raise LeaseLost("its process is gone")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, method, die)
        yield reached
    over.set()
