"""A new index beside the old one, which is searched until the new one is whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from nodes.rag.indexing import Indexer
from nodes.rag.manifest import ManifestFile, PlacedStore
from nodes.rag.models import IngestReport, Manifest, Progress
from nodes.rag.ports import VectorStore

# Vectors that are carried over at a time.
_AT_ONCE = 2_000

Fill = Callable[[VectorStore, Path, Progress | None], Awaitable[None]]
"""Gives the chunks of an index in a folder the vectors that they lack."""


class Rebuilding:
    """Makes the index of one source anew.

    Args:
        store: The one that is searched.
        fill: Makes vectors; None where there are none, or where they come with the words.
    """

    def __init__(self, store: PlacedStore, *, fill: Fill | None = None) -> None:
        self._store = store
        self._fill = fill

    async def run(self, indexer: Indexer, before: Manifest, progress: Progress | None) -> IngestReport:
        """Read every file again, and let the new index take the place in one step. Hold the index's lock.

        A vector that its chunk has already is not made again.
        """
        place = self._store.place
        await asyncio.to_thread(place.sweep)
        folder = place.new()
        store, close = self._store.open_at(folder)
        try:
            manifest = ManifestFile(folder, place.name)
            if before.added:
                manifest.write(indexer.empty(before.added))
            report = await indexer.onto(store, manifest).update(progress=progress)
            if self._fill is not None:
                await self._carry_over(store)
                await self._fill(store, folder, progress)
            await asyncio.to_thread(place.take, folder)
        except BaseException:
            place.drop(folder)
            raise
        finally:
            close()
        return report

    async def _carry_over(self, new: VectorStore) -> None:
        missing = await new.reconcile()
        for first in range(0, len(missing), _AT_ONCE):
            await new.attach(await self._store.vectors_of(missing[first : first + _AT_ONCE]))
