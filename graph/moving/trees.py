"""Folders copied while somebody writes in them: each as it stood at one moment.

What a service writes there is made elsewhere and renamed, so a folder whose entries are the same before and
after it was read holds what belongs together.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.database.outage import outage
from core.errors import StorageUnavailable

TRIES = 5
CHUNK = 1 << 20
_WRITTEN = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
Sight = dict[str, tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class BackupFile:
    """A file of a backup: where it stands in it, its bytes and their SHA-256."""

    path: str
    size: int
    sha256: str


class Moved(Exception):
    """A folder was written to for as long as it was tried to copy it."""


def folders(root: Path, skipped: Callable[[str], bool]) -> Iterator[Path]:
    """A folder and those below it, without links to folders."""
    for place, names, _ in os.walk(root):
        names[:] = sorted(name for name in names if not skipped(name))
        yield Path(place)


def sight(folder: Path, skipped: Callable[[str], bool]) -> Sight:
    """The files in a folder, and by what one sees that they changed."""
    found: Sight = {}
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if not skipped(entry.name) and entry.is_file():
                    about = entry.stat()
                    found[entry.name] = (about.st_ino, about.st_size, about.st_mtime_ns)
    return found


def copy_file(source: Path, target: Path, told: Callable[[int], None]) -> tuple[int, str]:
    """Copy a file for its owner alone, onto the disk; its size and SHA-256."""
    digest, size = hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with source.open("rb") as reading, os.fdopen(os.open(target, _WRITTEN, 0o600), "wb") as writing:
        while chunk := reading.read(CHUNK):
            writing.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            told(len(chunk))
        writing.flush()
        os.fsync(writing.fileno())
    return size, digest.hexdigest()


def hash_file(path: Path, told: Callable[[int], None] = lambda size: None) -> tuple[int, str]:
    """Size and SHA-256 of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as reading:
        while chunk := reading.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            told(len(chunk))
    return size, digest.hexdigest()


class Tree:
    """One folder with all below it, on its way to another.

    Args:
        name: Where it stands in the backup.
        skipped: Tells names of files and folders that are left out.
        told: Hears bytes as they are copied.
    """

    def __init__(
        self,
        source: Path,
        target: Path,
        name: str,
        *,
        skipped: Callable[[str], bool] = lambda name: False,
        told: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._source = source
        self._target = target
        self._name = name
        self._skipped = skipped
        self._told = told
        self._seen: dict[Path, Sight] = {}
        self._entries: dict[Path, list[BackupFile]] = {}

    @property
    def entries(self) -> list[BackupFile]:
        """Everything that was copied."""
        return [entry for found in self._entries.values() for entry in found]

    def bytes(self) -> int:
        """Roughly what there is to copy."""
        return sum(size for place in self._folders() for _, size, _ in sight(place, self._skipped).values())

    def copy(self) -> bool:
        """Copy what is new, and what changed since the last time; False where that is nothing.

        Raises:
            Moved: A folder did not stand still.
        """
        changed = False
        for folder in self._folders():
            seen = sight(folder, self._skipped)
            if seen != self._seen.get(folder, {}):
                changed = True
                self._folder(folder)
        return changed

    def forget(self) -> None:
        """Remove what was copied."""
        for entry in self.entries:
            (self._target / entry.path).unlink(missing_ok=True)
        self._entries.clear()

    def _folders(self) -> Iterator[Path]:
        return folders(self._source, self._skipped)

    def _folder(self, folder: Path) -> None:
        for _ in range(TRIES):
            for entry in self._entries.pop(folder, ()):
                (self._target / entry.path).unlink(missing_ok=True)
            before = sight(folder, self._skipped)
            with suppress(FileNotFoundError):
                self._entries[folder] = [self._file(folder / name) for name in sorted(before)]
                if sight(folder, self._skipped) == before:
                    self._seen[folder] = before
                    return
        raise Moved(folder.name)

    def _file(self, path: Path) -> BackupFile:
        inside = PurePosixPath(self._name, *path.relative_to(self._source).parts).as_posix()
        return BackupFile(inside, *copy_file(path, self._target / inside, self._told))


@contextmanager
def disk_errors(what: str, remedy: str) -> Iterator[None]:
    """In the block, what a disk says against it is told, without its paths, and what to do."""
    try:
        yield
    except OSError as error:
        raise StorageUnavailable(f"{what}: {error.strerror or type(error).__name__}; {remedy}") from error
    except sqlite3.Error as error:
        away = outage(error)
        if away is None:
            raise
        raise StorageUnavailable(f"{what}: the database {away.reason}; {remedy}") from error


def is_plain(path: Path) -> bool:
    """Whether it is a file itself, and no link to one."""
    return stat.S_ISREG(path.lstat().st_mode) if path.exists() else False
