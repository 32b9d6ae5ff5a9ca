"""Listening sockets: of a TCP address, and Unix sockets in the home folder that only its owner reaches."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

AVAILABLE = hasattr(socket, "AF_UNIX") and os.name == "posix"

# The kernel's own bound on the address of a Unix socket is 108 bytes, or 104.
_LONGEST = 100
_BACKLOG = 128
# Of what a reader has not taken, the kernel holds for each connection no more than this beside what is under
# way to it; by itself it takes 3 MB for one that takes nothing. What waits, waits here, where it is bounded.
_UNSENT_BYTES = 128 * 1024


def tcp_listener(host: str = "127.0.0.1", port: int = 0, *, backlog: int = 2048) -> socket.socket:
    """A listening TCP socket whose connections send what is small at once; port 0 is any that is free.

    asyncio switches Nagle's algorithm off only where a connection's socket names its protocol, which it has
    from its listener. Where it stays on, the second part of an answer waits for the reader's delayed
    acknowledgement, 40 ms on Linux.

    Raises:
        OSError: It cannot listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections have it from their listener. A kernel that has no such bound is none to fail for.
        with suppress(AttributeError, OSError):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        listener.bind((host, port))
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def address(path: Path) -> Iterator[str]:
    """What `bind` and `connect` take for the socket at this path, however long the path is.

    Raises:
        OSError: The path is too long, and this system has no other way to say it.
    """
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A listening socket at this path, for this user alone; what an earlier one has left there makes way.

    Raises:
        OSError: It cannot be made there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, address(path) as where:
        listener.bind(where)
        mine = path.stat().st_ino
        try:
            path.chmod(0o600)
            listener.listen(_BACKLOG)
            yield listener
        finally:
            with suppress(OSError):
                if path.stat().st_ino == mine:  # another process may have taken the place since
                    path.unlink()


def refused(path: Path) -> bool:
    """Whether nobody listens at the socket that is there any more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, address(path) as where:
        try:
            probe.connect(where)
        except OSError:
            return True
    return False


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Whether this process has the lock at this path: one at a time has, until the end of its block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as lock:
        yield try_lock(lock.fileno())


def try_lock(handle: int) -> bool:
    """Take the lock of an open file, if nobody has it; it is free again when the file is closed."""
    import fcntl  # noqa: PLC0415 - not on every system

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def of_this_user(wire: socket.socket) -> bool:
    """Whether the process at the other end is this user's, where the system tells."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the rights of the socket's file have to do
    told = wire.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(told[4:8], "little") in (0, os.getuid())
