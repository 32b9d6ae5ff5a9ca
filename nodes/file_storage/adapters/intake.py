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
