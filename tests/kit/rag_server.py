"""A retrieval service in a process of its own: discovery, v1 and v2 queries, and embeddings.

`python -m tests.kit.rag_server` listens on a free loopback port and prints
`{"port": N}`. Tests use `RagServer`:

    with RagServer(token="secret") as server:
        server.behave(shape="older")
        ... point an http source at server.url ...
        assert server.requests()[-1]["as_user"] == "ada"

Its corpus is `CORPUS`: collection `handbook` is open to everyone, `payroll`
only to users whose name begins with `boss`. The server side is in
`rag_server_app`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

_START_SECONDS = 30.0

CORPUS: dict[str, dict[str, str]] = {
    "handbook": {
        "leave.md": "Every employee has thirty days of annual leave. Leave is requested in the portal.",
        "travel.md": "Train journeys are booked in second class. Receipts are kept for one year.",
        "security.md": "Passwords are rotated every ninety days. Laptops are encrypted with a hardware key.",
    },
    "payroll": {"salaries.md": "Salaries are paid on the last working day of the month."},
}


class RagServer:
    """Starts the server process, and talks to its control routes.

    Args:
        token: Bearer token that the retrieval routes ask for; empty: none.
    """

    def __init__(self, *, token: str = "") -> None:
        self._token = token
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
            [sys.executable, "-m", "tests.kit.rag_server_app", "--token", self._token],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert self._process.stdout is not None
        port = json.loads(self._process.stdout.readline())["port"]
        self.url = f"http://127.0.0.1:{port}"
        self._control = httpx.Client(base_url=self.url, timeout=_START_SECONDS, trust_env=False)

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

    def behave(self, **how: Any) -> None:
        """Change how it answers from now on; without arguments, back to normal.

        `shape` newer or older (v1), `discovery` list or object, `fault` one of
        hang, status, text, wrong or huge, `status` the code of fault
        `status`, `only` the route that the fault is for (discover, query or
        embeddings; empty: all).
        """
        self._ask("POST", "/control/behave", json=how)

    def requests(self) -> list[dict[str, Any]]:
        """The requests so far: route, as_user, token, and the body or the query parameters."""
        found: list[dict[str, Any]] = self._ask("GET", "/control/requests").json()
        return found

    def forget(self) -> None:
        """Empty the list of requests and behave as at the start."""
        self._ask("POST", "/control/forget")

    def wait_for_requests(self, count: int, *, seconds: float = 10.0) -> None:
        """Return once `count` requests have come in."""
        deadline = time.monotonic() + seconds
        while len(self.requests()) < count:
            assert time.monotonic() < deadline, f"fewer than {count} requests within {seconds} s"

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        assert self._control is not None, "the server is not running"
        response = self._control.request(method, path, **more)
        response.raise_for_status()
        return response
