"""Readers that take nothing: sockets that ask for a stream and never read it."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

# Little fits in: the server soon has nowhere to put what it wants to send.
BUFFER_BYTES = 4096
WATCH_SECONDS = 0.02
_ESTABLISHED = "01"  # as /proc/net/tcp has it


class FrozenReader:
    """Asks for a run's events. What the system has taken in for it can be looked at in the end."""

    def __init__(self, port: int, run_id: str) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._socket.connect(("127.0.0.1", port))
        self._socket.sendall(f"GET /runs/{run_id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        self.port: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Leave, whatever has come."""
        self._socket.close()

    def thaw(self, seconds: float = 30.0) -> bytes:
        """All that was underway to it, to where the server gave up."""
        self._socket.settimeout(seconds)
        found = bytearray()
        try:
            while piece := self._socket.recv(65_536):
                found += piece
        except (ConnectionResetError, TimeoutError):
            pass  # one that was not dropped has its answer, and its connection stays open
        finally:
            self._socket.close()
        return bytes(found)


def connected(server: int, clients: Collection[int]) -> int:
    """How many of these clients' ports a server of this machine has an open connection with."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    open_ones = [(row[1], row[2]) for row in rows if row[3] == _ESTABLISHED]
    found = {(int(own[-4:], 16), int(other[-4:], 16)) for own, other in open_ones}
    return sum((server, client) in found for client in clients)


def whole_events(stream: bytes) -> list[dict[str, Any]]:
    """The events that arrived whole in a chunked answer."""
    _, _, body = stream.partition(b"\r\n\r\n")
    text = unchunked(body)
    blocks = text.split(b"\n\n")[:-1]  # the last one may be half an event
    lines = [line for block in blocks for line in block.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line[6:]) for line in lines]


def unchunked(body: bytes) -> bytes:
    """The bytes of the chunks, the last one maybe cut."""
    found = bytearray()
    while True:
        head, sep, rest = body.partition(b"\r\n")
        if not sep or not head:
            return bytes(found)
        size = int(head, 16)
        found += rest[:size]
        body = rest[size + 2 :]


class Memory:
    """The most memory that a process uses while the block runs, in bytes."""

    def __init__(self, pid: int) -> None:
        self._statm = Path(f"/proc/{pid}/statm")
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self.before = self.peak = self._now()

    @property
    def grown(self) -> int:
        return self.peak - self.before

    def _now(self) -> int:
        return int(self._statm.read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    def _watch(self) -> None:
        while not self._over.wait(WATCH_SECONDS):
            self.peak = max(self.peak, self._now())

    def __enter__(self) -> Self:
        self.before = self.peak = self._now()
        self._watcher.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._over.set()
        self._watcher.join()
