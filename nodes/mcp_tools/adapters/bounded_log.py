"""A log file that never grows over its limit, for whatever a server writes to stderr."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

LIMIT = 1_048_576


class BoundedLog:
    """Appends to `path`; a full file becomes `<path>.1`, replacing the one before.

    Args:
        limit: Largest size of each of the two files, in bytes.
    """

    def __init__(self, path: Path, *, limit: int = LIMIT) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._limit = limit
        self._file: BinaryIO = path.open("ab")
        self._size = self._file.tell()

    def write(self, data: bytes) -> None:
        data = data[-self._limit :]
        if self._size + len(data) > self._limit:
            self._rotate()
        self._file.write(data)
        self._file.flush()
        self._size += len(data)

    def close(self) -> None:
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._file = self._path.open("wb")
        self._size = 0
