"""An index on disk: where it stands, what it was made from, and how another one takes its place.

An index stands in the folder of all indexes. One that is made beside it, or fetched, gets a folder
of its own; one small file says which of them is searched, and it is replaced in one step. Whoever
is killed before has changed nothing.

The manifest is written after the rows it speaks of. A process that dies in between leaves rows that
no manifest names; the next run indexes those files again and replaces the rows.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from core.health import Health
from core.languages import DEFAULT
from nodes.rag.errors import IndexBusy
from nodes.rag.models import Chunk, Hit, Manifest, Record
from nodes.rag.ports import Known, VectorStore, View

# Searches that began before a switch go on in what was searched before; none takes minutes.
KEPT_SECONDS = 600.0
LOCK_SECONDS = 30.0
_POLL_SECONDS = 0.05
_VERSION = 1


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

    def forget(self) -> None:
        """Remove all that stands here; first what says that anything does."""
        (self.root / f"{self.name}.manifest.json").unlink(missing_ok=True)
        self._pointer.unlink(missing_ok=True)
        for path in list(files_of(self.root, self.name)):
            shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(self._builds, ignore_errors=True)

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


class ManifestFile:
    """Reads and writes the manifest of one index.

    Args:
        folder: Where the indexes stand.
        name: Name of the index.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._place = IndexPlace(folder, name)
        self._lock = folder / f"{name}.lock"
        # The folder in which indexes stand beside what else a service writes: nothing of it is a document.
        self.home = folder.absolute().parent
        self._known: tuple[str, Manifest] = ("", Manifest())
        self._languages: tuple[str, tuple[str, ...]] = ("", ())

    @property
    def _path(self) -> Path:
        return self._place.now() / f"{self._place.name}.manifest.json"

    def read(self) -> Manifest:
        """The manifest; an empty one where there is none that can be read, so that all is indexed anew."""
        generation = self.generation()
        # A file of thousands of records is read once per change.
        if generation and self._known[0] == generation:
            return self._known[1]
        found = self._read()
        self._known = (generation, found)
        return found

    def _read(self) -> Manifest:
        try:
            data: Any = orjson.loads(self._path.read_bytes())
            if data["version"] != _VERSION:
                return Manifest()
            files = {name: _record(record) for name, record in data["files"].items()}
            unread, passed_over = dict(data.get("unread", {})), int(data.get("passed_over", 0))
            return Manifest(files, tuple(data["added"]), unread, passed_over, str(data.get("model", "")))
        except (OSError, ValueError, KeyError, TypeError):
            return Manifest()

    def there(self) -> bool:
        """True once something was indexed, be it nothing."""
        return self._path.exists()

    def holds_text(self) -> bool:
        """Whether there is anything that a search could find."""
        return any(record.chunks for record in self.read().files.values())

    def generation(self) -> str:
        """Another text after each `write`, whichever process made it; "" before the first."""
        try:
            found = self._path.stat()
        except OSError:
            return ""
        return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"

    def root_of(self, document: str) -> str:
        """The folder, file or glob that a document was found by; "" for one that it does not know."""
        record = self.read().files.get(document)
        return record.root if record else ""

    def languages(self, own: str = "") -> tuple[str, ...]:
        """The languages in whose stems the words of its index stand.

        Args:
            own: Of all its texts; "" where each one's own was found out.
        """
        if own:
            return (own,)
        # Every search asks: thousands of records are gone through once per change.
        generation = self.generation()
        if not generation or self._languages[0] != generation:
            self._languages = (generation, tuple(dict.fromkeys([*self.read().languages, DEFAULT])))
        return self._languages[1]

    def write(self, manifest: Manifest) -> None:
        """Replace the manifest in one step."""
        body = {
            "version": _VERSION,
            "added": list(manifest.added),
            "unread": manifest.unread,
            "passed_over": manifest.passed_over,
            "model": manifest.model,
        }
        files = {name: asdict(record) for name, record in manifest.files.items()}
        path = self._path
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}.draft")
        draft.write_bytes(orjson.dumps({**body, "files": files}, option=orjson.OPT_INDENT_2))
        draft.replace(path)

    @asynccontextmanager
    async def locked(self, *, seconds: float = LOCK_SECONDS) -> AsyncIterator[None]:
        """Keep other processes out.

        Raises:
            IndexBusy: Another process still has it after `seconds`.
        """
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            await _flock(handle, seconds)
            yield
        finally:
            os.close(handle)  # the system drops the lock with it, also when the process dies


async def _flock(handle: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise IndexBusy(
                    "another process is indexing this source; wait for it to finish, or stop it"
                ) from None
            await asyncio.sleep(_POLL_SECONDS)
        else:
            return


def _record(data: dict[str, Any]) -> Record:
    return Record(**{**data, "notes": tuple(data.get("notes", ()))})


def index_name(source: str, flavour: str = "") -> str:
    """A file name for the index of `source`; with a `flavour`, as indexes of one embedder were called."""
    readable = re.sub(r"[^a-z0-9]+", "-", source.lower()).strip("-")[:40] or "source"
    digest = hashlib.sha256(f"{source}\0{flavour}".encode()).hexdigest()[:8]
    return f"{readable}-{digest}"


@contextmanager
def alone(lock: Path) -> Iterator[bool]:
    """Whether no other process of this home holds `lock`; this one does inside the block then."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)  # the system drops the lock with it, also when the process dies


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
