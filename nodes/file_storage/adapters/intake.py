"""Bytes on their way in: counted and hashed while they are written, and written while the next ones come."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import IO, Any

# A hop to a thread costs as much as writing a part of a MiB does. More at a time is slower: what is
# written has left the processor's cache by then.
WRITTEN_BYTES = 1024 * 1024


class Intake:
    """Writes chunks to a file and knows their size and digest. Its methods block: call them in a thread."""

    def __init__(self, handle: IO[bytes]) -> None:
        self.handle = handle
        self.size = 0
        self._digest = hashlib.sha256()

    def write(self, chunks: Sequence[bytes]) -> None:
        for chunk in chunks:
            self.handle.write(chunk)
            self._digest.update(chunk)
            self.size += len(chunk)

    @property
    def etag(self) -> str:
        """SHA-256 of everything written, in hex."""
        return self._digest.hexdigest()


async def taken_in(
    intake: Intake, data: AsyncIterator[bytes], in_thread: Callable[..., Awaitable[Any]]
) -> None:
    """Write all of the data, each MiB while the next one comes.

    Args:
        in_thread: Calls a function in a thread.
    """
    waiting, size = list[bytes](), 0
    going: asyncio.Future[Any] | None = None
    async for chunk in data:
        waiting.append(chunk)
        size += len(chunk)
        if size < WRITTEN_BYTES:
            continue
        if going is not None:
            await going
        going = asyncio.ensure_future(in_thread(intake.write, waiting))
        # Where the data breaks off nobody asks how this ended.
        going.add_done_callback(lambda done: done.cancelled() or done.exception())
        waiting, size = [], 0
    if going is not None:
        await going
    if waiting:
        await in_thread(intake.write, waiting)


class Lent:
    """A file for somebody who closes what he was given: boto3 does, also after an upload that failed."""

    def __init__(self, handle: IO[bytes]) -> None:
        handle.seek(0)
        self.read = handle.read
        self.seek = handle.seek
        self.tell = handle.tell

    def close(self) -> None:
        """It stays open for the next try."""
