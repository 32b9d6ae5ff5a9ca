"""Bytes on their way in: counted and hashed while they are written."""

from __future__ import annotations

import hashlib
from typing import IO


class Intake:
    """Writes chunks to a file and knows their size and digest. Its methods block: call them in a thread."""

    def __init__(self, handle: IO[bytes]) -> None:
        self.handle = handle
        self.size = 0
        self._digest = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        self.handle.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    @property
    def etag(self) -> str:
        """SHA-256 of everything written, in hex."""
        return self._digest.hexdigest()


class Lent:
    """A file for somebody who closes what he was given: boto3 does, also after an upload that failed."""

    def __init__(self, handle: IO[bytes]) -> None:
        handle.seek(0)
        self.read = handle.read
        self.seek = handle.seek
        self.tell = handle.tell

    def close(self) -> None:
        """It stays open for the next try."""
