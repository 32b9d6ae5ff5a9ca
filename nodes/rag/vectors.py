"""Gives the chunks of a local index their vectors, behind the indexing.

Words are there at once; vectors take a hundred times as long, and nobody waits
for them. What was embedded stays, so it can be stopped at any point.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from core.errors import WaystationError
from nodes.rag.manifest import alone
from nodes.rag.models import VECTORS, Chunk, Progress
from nodes.rag.ports import Embedder, VectorStore

# Changes come in bursts, and a command has ended by then.
QUIET_SECONDS = 3.0
AGAIN_SECONDS = 60.0
BATCH = 64
# What the vector of a title adds to that of its passage.
TITLE_COUNTS = 0.5

_log = structlog.get_logger(__name__)


class VectorFiller:
    """Embeds what has no vector, one process at a time.

    Args:
        lock: A file that keeps the other processes out.
        quiet_s: How long it waits after a change.
    """

    def __init__(
        self,
        source: str,
        *,
        store: VectorStore,
        embedder: Embedder,
        lock: Path,
        quiet_s: float = QUIET_SECONDS,
    ) -> None:
        self._source = source
        self._store = store
        self._embedder = embedder
        self._lock = lock
        self._quiet_s = quiet_s
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Work in the background, now and after each `wake`."""
        self._changed.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"vectors of {self._source}")

    def wake(self) -> None:
        """Something was indexed; what is not started stays asleep."""
        self._changed.set()

    def stop(self) -> None:
        """Work no more; what was embedded stays."""
        if self._task is not None:
            self._task.cancel()

    async def aclose(self) -> None:
        """Stop, and wait until nothing is under way."""
        self.stop()
        if self._task is not None:
            with suppress(asyncio.CancelledError):
                await self._task

    async def fill(self, progress: Progress | None = None, *, most: int | None = None) -> int:
        """Embed every chunk that has no vector; how many were.

        None where another process is at it, or where more than `most` have none.

        Raises:
            SourceUnavailable: The embedder does not work.
            IndexBroken: The index cannot be read or written.
        """
        with alone(self._lock) as mine:
            if not mine:
                return 0
            ids = await self._store.reconcile()
            if most is not None and len(ids) > most:
                return 0
            titles: dict[str, Sequence[float]] = {}
            for first in range(0, len(ids), BATCH):
                if progress:
                    progress(first, len(ids), VECTORS)
                chunks = await self._store.chunks_of(ids[first : first + BATCH])
                vectors = await self._embedded(chunks, titles)
                await self._store.attach({c.id: v for c, v in zip(chunks, vectors, strict=True)})
            await self._store.settle()
            if progress and ids:
                progress(len(ids), len(ids), VECTORS)
            return len(ids)

    async def _embedded(
        self, chunks: Sequence[Chunk], titles: dict[str, Sequence[float]]
    ) -> list[list[float]]:
        """What a text is called says what it is about, in fewer words: it counts for itself, too."""
        new = list(dict.fromkeys(c.title for c in chunks if c.title not in titles))
        made = await self._embedder.embed([*(f"{c.title}\n{c.text}" for c in chunks), *new])
        titles.update(zip(new, made[len(chunks) :], strict=True))
        return [
            [own + TITLE_COUNTS * named for own, named in zip(vector, titles[chunk.title], strict=True)]
            for chunk, vector in zip(chunks, made, strict=False)
        ]

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(self._quiet_s)
            self._changed.clear()
            try:
                count = await self.fill()
            except WaystationError as error:
                _log.warning("vectors_missing", source=self._source, code=error.code, reason=error.detail)
                await asyncio.sleep(AGAIN_SECONDS)
                self._changed.set()
            except Exception:  # noqa: BLE001 - the edge of a background task: words are searched all the same
                _log.exception("vectors_missing", source=self._source)
            else:
                if count:
                    _log.info("vectors_ready", source=self._source, chunks=count)
