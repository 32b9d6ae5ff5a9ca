"""Bytes on their way in: written while they are hashed, and both while the next ones come."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import IO, Any

# A hop to a thread costs as much as writing a part of a MiB does. Far more at a time is slower: what is
# written has left the processor's cache by then.
WRITTEN_BYTES = 2 * 1024 * 1024
# What is on disk already need not be waited for at the end.
SYNCED_BYTES = 16 * 1024 * 1024


class Intake:
    """Writes chunks to a file and knows their size and digest. Its methods block: call them in a thread.

    Args:
        synced: Everything is to survive a power cut, so it is brought to the disk on the way.
    """

    def __init__(self, handle: IO[bytes], *, synced: bool = False) -> None:
        self.handle = handle
        self.size = 0
        self._unsynced = 0
        self._synced = synced
        self._digest = hashlib.sha256()

    def write(self, chunks: Sequence[bytes]) -> None:
        """Write chunks; they are to be hashed as well."""
        for chunk in chunks:
            self.handle.write(chunk)
            self.size += len(chunk)
            self._unsynced += len(chunk)
        if self._synced and self._unsynced >= SYNCED_BYTES:
            self._unsynced = 0
            self.sync()

    def hash(self, chunks: Sequence[bytes]) -> None:
        """Take chunks into the digest, at the same time as they are written."""
        for chunk in chunks:
            self._digest.update(chunk)

    def sync(self) -> None:
        """Bring what was written to the disk."""
        self.handle.flush()
        os.fsync(self.handle.fileno())

    @property
    def etag(self) -> str:
        """SHA-256 of everything written, in hex."""
        return self._digest.hexdigest()


class _Line:
    """One function in a thread, for one batch after the other; the last one may still be going."""

    def __init__(
        self, work: Callable[[Sequence[bytes]], None], in_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self._work = work
        self._in_thread = in_thread
        self._going: asyncio.Future[Any] | None = None

    async def take(self, chunks: Sequence[bytes]) -> None:
        await self.end()
        self._going = asyncio.ensure_future(self._in_thread(self._work, chunks))
        # Where the data breaks off nobody asks how this ended.
        self._going.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def end(self) -> None:
        if self._going is not None:
            await self._going


async def taken_in(
    intake: Intake, data: AsyncIterator[bytes], in_thread: Callable[..., Awaitable[Any]]
) -> None:
    """Write and hash all of the data, two MiB while the next ones come.

    Args:
        in_thread: Calls a function in a thread.
    """
    lines = _Line(intake.write, in_thread), _Line(intake.hash, in_thread)
    waiting, size = list[bytes](), 0
    async for chunk in data:
        waiting.append(chunk)
        size += len(chunk)
        if size < WRITTEN_BYTES:
            continue
        for line in lines:
            await line.take(waiting)
        waiting, size = [], 0
    if waiting:
        for line in lines:
            await line.take(waiting)
    for line in lines:
        await line.end()


class Lent:
    """A file for somebody who closes what he was given: boto3 does, also after an upload that failed."""

    def __init__(self, handle: IO[bytes]) -> None:
        handle.seek(0)
        self.read = handle.read
        self.seek = handle.seek
        self.tell = handle.tell

    def close(self) -> None:
        """It stays open for the next try."""
