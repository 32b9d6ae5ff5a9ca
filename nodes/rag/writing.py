"""Writes what an indexing has read, a batch after the other, while the next one is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from nodes.rag.models import Chunk, Manifest, Record

# So much is written at a time. What an endpoint made vectors of is written sooner: that took longer.
BATCH_CHUNKS, BATCH_FILES = 2_000, 500
EMBEDDED_CHUNKS, EMBEDDED_FILES = 256, 64


@dataclass(slots=True)
class Batch:
    """Work done but not yet in the index."""

    records: dict[str, Record] = field(default_factory=dict)
    chunks: list[Chunk] = field(default_factory=list)

    def full(self, *, embedded: bool) -> bool:
        most = (EMBEDDED_CHUNKS, EMBEDDED_FILES) if embedded else (BATCH_CHUNKS, BATCH_FILES)
        return len(self.chunks) >= most[0] or len(self.records) >= most[1]


class Writing:
    """Writes one batch after the other, each while the next one is read.

    Args:
        flush: Writes a batch; gives the manifest of then.
    """

    def __init__(
        self, flush: Callable[[Batch, Manifest], Coroutine[Any, Any, Manifest]], manifest: Manifest
    ) -> None:
        self._flush = flush
        self._manifest = manifest
        self._going: asyncio.Task[Manifest] | None = None

    async def __aenter__(self) -> Writing:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is written any more when the lock of the index is given back."""
        if self._going is not None:
            self._going.cancel()
            await asyncio.wait([self._going])

    async def take(self, batch: Batch) -> None:
        """Begin to write a batch, as soon as the one before is written."""
        self._manifest = await self.done()
        self._going = asyncio.create_task(self._flush(batch, self._manifest))

    async def done(self) -> Manifest:
        """The manifest when all that was taken is written."""
        if self._going is not None:
            self._manifest = await self._going
            self._going = None
        return self._manifest
