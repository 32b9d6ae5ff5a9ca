"""A server of the kit in a process of its own, steered over HTTP.

Its program listens on a free port of loopback and prints `{"port": N}`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

# The checkout, or where the wheel was installed.
ROOT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 30.0


class ServerProcess:
    """Starts and stops the process; `ask` talks to its control routes.

    Args:
        program: A module to run, and its arguments.
        path: Behind the address in `url`.
        address: Where the program listens, if it does so elsewhere than usual.
    """

    def __init__(self, *program: str, path: str = "", address: str = "127.0.0.1") -> None:
        self._address = address
        self._program = program
        self._path = path
        self._process: subprocess.Popen[str] | None = None
        self._control: httpx.Client | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process and wait until it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", *self._program], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self._process.stdout is not None
        base = f"http://{self._address}:{json.loads(self._process.stdout.readline())['port']}"
        self.url = f"{base}{self._path}"
        self._control = httpx.Client(base_url=base, timeout=_PATIENCE_SECONDS, trust_env=False)

    def stop(self) -> None:
        """End the process; a second call does nothing."""
        if self._control:
            self._control.close()
            self._control = None
        if self._process:
            self._process.terminate()
            self._process.wait(timeout=10)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answer of one of its routes."""
        assert self._control is not None, "the server is not running"
        return self._control.request(method, path, json=body).raise_for_status().json()
