"""The audit log: one JSON line per event, in files that are rotated by size."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from core.events.bus import EventBus
from core.events.event import Event
from core.events.subscription import Subscription
from core.foreign import as_bytes

FILE = "audit.jsonl"
LOCK = "audit.lock"
_PRIVATE = 0o600


class AuditLog:
    """Writes who did what, for which run, with what outcome.

    Several processes may write to one folder. An error of the disk ends at the
    event bus, which counts it and shows it in the health.

    Args:
        folder: Where `audit.jsonl` stands, with `audit.jsonl.1` for the one before.
        max_bytes: Size of one file.
        files: Files that are kept, the current one too.
    """

    def __init__(self, folder: Path, *, max_bytes: int, files: int) -> None:
        self._folder = folder
        self._path = folder / FILE
        self._max_bytes = max_bytes
        self._files = files

    def subscribe_to(self, bus: EventBus) -> Subscription:
        """Write every event of the bus from now on."""
        return bus.subscribe(Event, self.write, name="audit")

    def write(self, event: Event) -> None:
        """Append one line.

        Raises:
            OSError: The folder or the disk takes no more; nothing of the line is left.
        """
        line = _line(event)
        with self._alone():
            if self._size() + len(line) > self._max_bytes:
                self._rotate()
            self._append(line)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process writes or rotates meanwhile."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._folder / LOCK, os.O_WRONLY | os.O_CREAT, _PRIVATE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def _rotate(self) -> None:
        if not self._size():
            return
        kept = [self._path, *(self._path.with_name(f"{FILE}.{n}") for n in range(1, self._files))]
        kept[-1].unlink(missing_ok=True)
        for older, newer in zip(reversed(kept), list(reversed(kept))[1:], strict=False):
            if newer.exists():
                newer.replace(older)

    def _append(self, line: bytes) -> None:
        handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, _PRIVATE)
        try:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                # A process was killed in the middle of its line: begin on a new one.
                line = b"\n" + line
            written = os.write(handle, line)
            if written < len(line):
                os.ftruncate(handle, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(handle)


def _line(event: Event) -> bytes:
    ids = event.ids()
    entry = {
        "at": datetime.fromtimestamp(event.at, UTC).isoformat(),
        "who": ids.pop("user", ""),
        "what": event.what,
        "outcome": event.outcome,
        **ids,
        "details": event.details(),
    }
    return as_bytes(entry) + b"\n"
