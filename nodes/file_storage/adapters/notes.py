"""Small notes of ours beside the files, each changed by one process after the other."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from core.errors import WaystationError
from nodes.file_storage.errors import StorageTimedOut, StorageUnavailable

if TYPE_CHECKING:
    from nodes.file_storage.adapters.s3_objects import S3Objects

# Stands in the folder or the bucket where owners do; no owner's folder begins like it.
NOTES = ".notes"
# Who changes a note takes a thousandth of this; a process that was stopped in between holds the others up.
WAIT_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.002
# Each try that another one comes before lets that one through.
TRIES = 50
# Notes of so many owners are kept as they were written last.
KEPT = 1_000


def change_in_folder(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a note that is a file; it is not synced, since what it says ends with the power.

    Raises:
        StorageTimedOut: Somebody else has it all the time.
        OSError: The disk says no.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor)
        # One line: what an interrupted writer left of a longer one behind it is not read.
        before = os.pread(descriptor, os.fstat(descriptor).st_size, 0).partition(b"\n")[0]
        after = change(before)
        if after != before:
            line = after + b"\n"
            os.pwrite(descriptor, line, 0)
            os.ftruncate(descriptor, len(line))
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise StorageTimedOut("another process holds the record of your files; try again") from None
            time.sleep(_LOOK_AGAIN_SECONDS)
        else:
            return


class NotesInBucket:
    """Notes that are objects, written on the condition that nobody else has written them meanwhile.

    A change costs one request, as long as nobody else changes the note: what was written last is kept.

    Args:
        objects: The part of the bucket where they stand.
    """

    def __init__(self, objects: S3Objects) -> None:
        self._objects = objects
        self._written: OrderedDict[str, tuple[bytes, str]] = OrderedDict()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def change(self, name: str, change: Callable[[bytes], bytes]) -> None:
        """Change a note.

        Raises:
            StorageUnavailable: The bucket cannot be used, or others change it all the time.
        """
        turn = self._turns.setdefault(name, asyncio.Lock())
        async with turn:
            if await self._changed_as_written(name, change):
                return
            for _ in range(TRIES):
                found = await self._objects.read(name)
                before, tag = (found.content, found.tag) if found else (b"", "")
                after = change(before)
                if after == before or await self._put(name, after, tag):
                    return
        raise StorageUnavailable("others change the record of your files all the time; try again later")

    async def _changed_as_written(self, name: str, change: Callable[[bytes], bytes]) -> bool:
        """Whether the note was still what this process wrote last, and is changed."""
        if name not in self._written:
            return False
        before, tag = self._written.pop(name)
        try:
            after = change(before)
        except WaystationError:  # it may be another one by now, for which this is not so
            return False
        return after != before and await self._put(name, after, tag)

    async def _put(self, name: str, after: bytes, tag: str) -> bool:
        new = await self._objects.replaced(name, after, tag=tag)
        if new:
            self._written[name] = after, new
            if len(self._written) > KEPT:
                self._written.popitem(last=False)
        return bool(new)
