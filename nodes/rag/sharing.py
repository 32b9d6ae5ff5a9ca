"""Keeps the indexes that are shared through a bucket: publishes what is written here, fetches the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from nodes.rag.source import Source

_log = structlog.get_logger(__name__)


class Sharing:
    """Looks after the shared indexes of all sources.

    Args:
        sources: Those of now, by name.
    """

    def __init__(self, sources: Callable[[], Mapping[str, Source]], *, every_s: float) -> None:
        self._sources = sources
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    def soon(self) -> None:
        """Again and again, in the background."""
        self._task = asyncio.create_task(self._run(), name="shared indexes")

    async def once(self) -> None:
        """Publish or fetch each; where one is written from now on, its vectors are made here."""
        enabled = [source for source in self._sources().values() if source.entry.enabled]
        await asyncio.gather(*(self._step(source) for source in enabled))

    async def of(self, name: str) -> bool:
        """Publish or fetch the index of one source; False where it is written by another home."""
        source = self._sources().get(name)
        if source is not None:
            await self._step(source)
        return source is None or source.shared is None or source.shared.writes

    async def aclose(self) -> None:
        """Stop, and let others write at once. A command leaves that right to the service beside it."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        shared = [source.shared for source in self._sources().values() if source.shared is not None]
        await asyncio.gather(*(one.give_up() for one in shared), return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.once()
            except Exception:  # noqa: BLE001 - the edge of a background task: one bad look must not be the last
                _log.exception("shared_indexes_not_looked_at")

    async def _step(self, source: Source) -> None:
        if source.shared is None:
            return
        before = source.shared.writes
        await source.shared.step()
        if self._task is not None and source.vectors is not None and source.shared.writes is not before:
            source.vectors.stop() if before else source.vectors.start()
