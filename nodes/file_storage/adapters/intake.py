"""Bytes on their way in: hashed where they arrive, while a thread writes what came before."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import IO, Any

# A hop to a thread costs as much as writing a part of a MiB does. More at a time is slower: what is
# written has left the processor's cache by then.
WRITTEN_BYTES = 1024 * 1024
# Chunks that are smaller on average are written as one.
_SMALL_BYTES = 16 * 1024


class Intake:
    """Writes chunks to a file and knows their size and digest.

    `counted` is for whoever receives the chunks, the other methods block: call them in a thread.

    Args:
        handle: Best without a buffer, which costs a third more than the writing itself.
    """

    def __init__(self, handle: IO[bytes]) -> None:
        self.handle = handle
        self.size = 0
        self._digest = hashlib.sha256()
        # Whoever closes a file in the middle of a write lets it go to the next file that is opened.
        self._writing = threading.Lock()

    def counted(self, chunk: bytes) -> None:
        """Reckon with a chunk; of 64 KiB, a twentieth of a millisecond."""
        self._digest.update(chunk)
        self.size += len(chunk)

    def write(self, chunks: Sequence[bytes]) -> None:
        small = sum(map(len, chunks)) < _SMALL_BYTES * len(chunks)
        with self._writing:
            for chunk in (b"".join(chunks),) if small else chunks:
                left = memoryview(chunk)
                while left:
                    left = left[self.handle.write(left) :]

    def close(self) -> None:
        """Close the file, once nobody writes to it any more."""
        with self._writing:
            self.handle.close()

    @property
    def etag(self) -> str:
        """SHA-256 of everything counted, in hex."""
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
        if size >= WRITTEN_BYTES:
            if going is not None:
                await going
            going = asyncio.ensure_future(in_thread(intake.write, waiting))
            # Where the data breaks off nobody asks how this ended.
            going.add_done_callback(lambda done: done.cancelled() or done.exception())
            waiting, size = [], 0
            # The thread begins, and the hash goes on beside it.
            await asyncio.sleep(0)
        intake.counted(chunk)
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
