"""An index whose place another one may take while it is searched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from core.health import Health
from nodes.rag.models import Chunk, Hit
from nodes.rag.places import IndexPlace
from nodes.rag.ports import Known, VectorStore, View


@dataclass(slots=True)
class Opened:
    """The index in one folder, and how many are at it."""

    folder: Path
    store: VectorStore
    close: Callable[[], None]
    users: int = 0


class PlacedStore:
    """Asks the index that stands at the place now. What has begun ends in the index that it began in.

    Args:
        open_at: Opens the index in a folder; gives it, and what closes it.
    """

    def __init__(
        self, place: IndexPlace, open_at: Callable[[Path], tuple[VectorStore, Callable[[], None]]]
    ) -> None:
        self.place = place
        self.open_at = open_at
        self._current: Opened | None = None
        self._pinned: ContextVar[Opened | None] = ContextVar(f"index {place.name}", default=None)

    @contextmanager
    def pinned(self) -> Iterator[VectorStore]:
        """All that is asked in this block is asked of one index, whatever takes its place meanwhile."""
        outer = self._pinned.get()
        if outer is not None:
            yield outer.store
            return
        opened = self._now()
        opened.users += 1
        token = self._pinned.set(opened)
        try:
            yield opened.store
        finally:
            self._pinned.reset(token)
            opened.users -= 1
            if opened is not self._current and not opened.users:
                opened.close()

    def _now(self) -> Opened:
        folder = self.place.now()
        if self._current is None or self._current.folder != folder:
            before = self._current
            self._current = Opened(folder, *self.open_at(folder))
            if before is not None and not before.users:
                before.close()
        return self._current

    def edition(self) -> str:
        opened = self._pinned.get()
        return str(opened.folder if opened else self.place.now())

    def close(self) -> None:
        """Let go of what is open."""
        if self._current is not None:
            self._current.close()
            self._current = None

    async def replace(
        self,
        documents: Sequence[str],
        chunks: Sequence[Chunk],
        vectors: Sequence[Sequence[float]] | None = None,
    ) -> None:
        with self.pinned() as store:
            await store.replace(documents, chunks, vectors)

    async def find(self, terms: Sequence[str], *, limit: int, view: View | None = None) -> list[Hit]:
        with self.pinned() as store:
            return await store.find(terms, limit=limit, view=view)

    async def chunks_in(self, document: str, *, limit: int) -> list[Chunk]:
        with self.pinned() as store:
            return await store.chunks_in(document, limit=limit)

    async def size(self, *, view: View | None = None) -> int:
        with self.pinned() as store:
            return await store.size(view=view)

    async def term_counts(self, *, most: int, view: View | None = None) -> tuple[dict[str, int], int]:
        with self.pinned() as store:
            return await store.term_counts(most=most, view=view)

    async def near(
        self, vector: Sequence[float], *, limit: int, known: Known | None = None, view: View | None = None
    ) -> list[Hit]:
        with self.pinned() as store:
            return await store.near(vector, limit=limit, known=known, view=view)

    async def open(self) -> None:
        with self.pinned() as store:
            await store.open()

    async def tidy(self) -> None:
        with self.pinned() as store:
            await store.tidy()

    async def check(self, *, expected: int) -> Health:
        with self.pinned() as store:
            return await store.check(expected=expected)

    async def reconcile(self) -> list[str]:
        with self.pinned() as store:
            return await store.reconcile()

    async def chunks_of(self, ids: Sequence[str]) -> list[Chunk]:
        with self.pinned() as store:
            return await store.chunks_of(ids)

    async def attach(self, vectors: Mapping[str, Sequence[float]]) -> None:
        with self.pinned() as store:
            await store.attach(vectors)

    async def settle(self) -> None:
        with self.pinned() as store:
            await store.settle()

    async def vectors_of(self, ids: Sequence[str]) -> dict[str, list[float]]:
        with self.pinned() as store:
            return await store.vectors_of(ids)
