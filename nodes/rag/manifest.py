"""What an index was made from: its files, and how each was read.

It is written after the rows it speaks of. A process that dies in between leaves
rows that no manifest names; the next run indexes those files again and replaces the rows.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from core.languages import DEFAULT
from nodes.rag.errors import IndexBusy
from nodes.rag.places import IndexPlace

LOCK_SECONDS = 30.0
MOST_UNREAD = 200
_POLL_SECONDS = 0.05
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Record:
    """A file as it was indexed. `problem` is set for a file that was left out, `notes` for what was of it."""

    root: str
    size: int
    mtime_ns: int
    seen_ns: int
    digest: str
    recipe: str
    chunks: int = 0
    problem: str = ""
    language: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of an index by document name, and the paths that `ingest` added by hand.

    Args:
        unread: Files of other kinds and why they are passed over, at most `MOST_UNREAD`.
        passed_over: How many of these there are.
    """

    files: dict[str, Record] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    unread: dict[str, str] = field(default_factory=dict)
    passed_over: int = 0

    def seen(self, shown: Callable[[str], bool] | None) -> Manifest:
        """The manifest as one sees it who is shown these documents; None: all of them."""
        if shown is None:
            return self
        files = {name: record for name, record in self.files.items() if shown(name)}
        unread = {name: why for name, why in self.unread.items() if shown(name)}
        # Names of the first ones only are known: of the others nothing is told.
        return replace(self, files=files, unread=unread, passed_over=len(unread))

    @property
    def chunks(self) -> int:
        return sum(record.chunks for record in self.files.values())

    @property
    def documents(self) -> int:
        return sum(1 for record in self.files.values() if not record.problem)

    @property
    def skipped(self) -> dict[str, str]:
        return {name: record.problem for name, record in self.files.items() if record.problem}

    @property
    def partly(self) -> dict[str, str]:
        """What was not read of the documents that were."""
        return {name: f"partly read: {'; '.join(r.notes)}" for name, r in self.files.items() if r.notes}

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the documents, the most frequent first."""
        told = Counter(record.language for record in self.files.values() if record.language)
        return tuple(language for language, _ in told.most_common())


class ManifestFile:
    """Reads and writes the manifest of one index.

    Args:
        folder: Where the indexes stand.
        name: Name of the index.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._place = IndexPlace(folder, name)
        self._lock = folder / f"{name}.lock"
        self._known: tuple[str, Manifest] = ("", Manifest())

    @property
    def _path(self) -> Path:
        return self._place.now() / f"{self._place.name}.manifest.json"

    def read(self) -> Manifest:
        """The manifest; an empty one where there is none that can be read, so that all is indexed anew."""
        generation = self.generation()
        # Every search asks for the languages: a file of thousands of records is read once per change.
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
            return Manifest(
                files, tuple(data["added"]), dict(data.get("unread", {})), int(data.get("passed_over", 0))
            )
        except (OSError, ValueError, KeyError, TypeError):
            return Manifest()

    def there(self) -> bool:
        """True once something was indexed, be it nothing."""
        return self._path.exists()

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
        return (own,) if own else tuple(dict.fromkeys([*self.read().languages, DEFAULT]))

    def write(self, manifest: Manifest) -> None:
        """Replace the manifest in one step."""
        body = {
            "version": _VERSION,
            "added": list(manifest.added),
            "unread": manifest.unread,
            "passed_over": manifest.passed_over,
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


def index_name(source: str, flavour: str) -> str:
    """A file name for the index of `source`; another embedder (`flavour`) gives another index."""
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
