"""Where the index of a source stands, and how another one takes its place.

An index stands in the folder of all indexes. One that is made beside it, or fetched, gets a folder
of its own; one small file says which of them is searched, and it is replaced in one step. Whoever
is killed before has changed nothing.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from core.health import Health
from nodes.rag.models import Chunk, Hit
from nodes.rag.ports import Known, VectorStore, View

# Searches that began before a switch go on in what was searched before; none takes minutes.
KEPT_SECONDS = 600.0


class IndexPlace:
    """The folder of one index.

    Args:
        root: The folder of all indexes.
        name: Of the index.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.name = name
        self._pointer = root / f"{name}.place"
        self._builds = root / f"{name}.builds"
        self._known: tuple[tuple[int, int], Path] = ((0, 0), root)

    def now(self) -> Path:
        """What is searched now, whichever process put it there."""
        try:
            found = self._pointer.stat()
        except OSError:
            return self.root
        stamp = (found.st_ino, found.st_mtime_ns)
        if self._known[0] != stamp:
            self._known = (stamp, self._read())
        return self._known[1]

    def _read(self) -> Path:
        named = self._pointer.read_text(encoding="utf-8").strip()
        folder = self._builds / Path(named).name
        return folder if named and folder.is_dir() else self.root

    def new(self) -> Path:
        """An empty folder for an index that may take the place of the one of now."""
        folder = self._builds / uuid.uuid4().hex
        folder.mkdir(parents=True)
        return folder

    def take(self, folder: Path) -> None:
        """Search `folder` from now on; it was made by `new`."""
        draft = self._pointer.with_suffix(f".{os.getpid()}.draft")
        with draft.open("w", encoding="utf-8") as file:
            file.write(folder.name)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._pointer)

    def drop(self, folder: Path) -> None:
        """Remove what nobody has searched."""
        shutil.rmtree(folder, ignore_errors=True)

    def sweep(self, *, kept_s: float = KEPT_SECONDS) -> None:
        """Remove what was searched long ago, and what nobody finished. Hold the lock of the index."""
        now = self.now()
        if now != self.root and self._pointer.stat().st_mtime > time.time() - kept_s:
            return
        for path in list(self._others(now)):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def _others(self, now: Path) -> Iterator[Path]:
        if self._builds.is_dir():
            yield from (path for path in self._builds.iterdir() if path != now)
        if now != self.root:
            yield from files_of(self.root, self.name)


def files_of(folder: Path, name: str) -> Iterator[Path]:
    """What an index consists of in its folder: its tables and its manifest."""
    yield from folder.glob(f"{name}.lance")
    yield from folder.glob(f"{name}.vectors-*.lance")
    yield from folder.glob(f"{name}.manifest.json")


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
