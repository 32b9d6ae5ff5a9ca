"""Who holds a task or a thread: a name for a holder that others on the same machine can look up."""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

_living: set[str] = set()


def new_holder() -> str:
    """A name in this process; it counts as alive inside of `alive`."""
    return f"{_here()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"


@contextmanager
def alive(holder: str) -> Iterator[str]:
    """The holder lives as long as the block."""
    _living.add(holder)
    try:
        yield holder
    finally:
        _living.discard(holder)


def is_known_dead(holder: str) -> bool:
    """True when the holder lived on this machine and is gone; of others only their lease tells."""
    place, _, rest = holder.partition(":")
    pid = rest.partition(":")[0]
    if place != _here() or not pid.isdecimal():
        return False
    if int(pid) == os.getpid():
        return holder not in _living
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@cache
def _here() -> str:
    """This machine since its start; apart for containers, whose process ids are their own."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]
