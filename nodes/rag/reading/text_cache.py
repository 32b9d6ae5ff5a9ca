"""What was taken out of documents, by their content: an index that is built anew reads none again.

It stands beside the indexes and goes with them. What another release of our readers, or of their
libraries, took out is not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import zlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock

import core.words
from nodes.rag.reading.extract import Extract

MOST_BYTES = 256_000_000
# One document may take so much of it: a single one must not push out all others.
_SHARE = 4
_LEFT = 0.9
_LIBRARIES = ("pypdfium2", "lxml", "openpyxl")
_READERS = Path(__file__).parents[1]


class TextCache:
    """A folder of extracts by the hash of the document's bytes. Safe between threads and processes.

    Args:
        most_bytes: Of the folder; what was not used for longest goes. 0 keeps nothing.
    """

    def __init__(self, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self._above = folder
        self._most = most_bytes
        self._size: int | None = None
        self._one = Lock()

    @property
    def _folder(self) -> Path:
        return self._above / reader_version()

    def find(self, digest: str, kind: str) -> Extract | None:
        """What was taken out of the document with this hash, read as one of this kind; None: not known."""
        path = self._path(digest, kind)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        try:
            found = Extract.from_json(json.loads(zlib.decompress(content)))
        except (ValueError, KeyError, TypeError, zlib.error):
            _remove(path)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return found

    def keep(self, digest: str, kind: str, found: Extract) -> None:
        """Remember an extract. A disk that does not take it costs a reading later, and nothing now."""
        content = zlib.compress(json.dumps(found.as_json(), separators=(",", ":")).encode(), 3)
        if not digest or len(content) * _SHARE > self._most:
            return
        path = self._path(digest, kind)
        with contextlib.suppress(OSError), self._one:
            if self._size is None:
                self._size = self._begun()
            draft = path.with_suffix(f".{os.getpid()}.draft")
            draft.write_bytes(content)
            draft.replace(path)
            self._size += len(content)
            if self._size > self._most:
                self._size = self._trimmed()

    def forget(self, digest: str) -> None:
        """Drop what is kept of a document, of whatever kind it was read."""
        if digest:
            for path in self._folder.glob(f"{digest}.*"):
                _remove(path)

    def _path(self, digest: str, kind: str) -> Path:
        return self._folder / f"{digest}.{kind}"

    def _begun(self) -> int:
        """Make the folder, without what other readers took out; its size in bytes."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for other in self._above.iterdir():
            if other != self._folder:
                shutil.rmtree(other, ignore_errors=True)
        return sum(size for _, size, _ in self._files())

    def _trimmed(self) -> int:
        """Remove what was not used for longest; the size that is left."""
        files = sorted(self._files())
        size = sum(size for _, size, _ in files)
        for _, bytes_, path in files:
            if size <= self._most * _LEFT:
                break
            _remove(path)
            size -= bytes_
        return size

    def _files(self) -> list[tuple[int, int, Path]]:
        """(last used, bytes, path) of each."""
        found = []
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):  # another process was faster
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_size, path))
        return found


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # gone already, or on a disk that takes nothing
        path.unlink()


@cache
def reader_version() -> str:
    """Changes with every line of our readers and with each release of what they lean on."""
    digest = hashlib.sha256()
    for library in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            digest.update(f"{library} {version(library)}\n".encode())
    ours = [
        *_READERS.glob("reading/*.py"),
        *_READERS.glob("adapters/documents/*.py"),
        Path(core.words.__file__),
    ]
    for path in sorted(ours):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
