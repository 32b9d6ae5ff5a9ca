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
from collections.abc import Iterator
from pathlib import Path

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
