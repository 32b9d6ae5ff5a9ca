"""`langgraph dev` in a process of its own, on a free port of loopback.

with studio(tmp_path) as client:
    client.post("/threads", json={})
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from waystation.testing.service import ROOT, free_port

START_SECONDS = 90.0


@contextmanager
def studio(folder: Path, *, env: Mapping[str, str] | None = None, jobs: int = 1) -> Iterator[httpx.Client]:
    """A client of the development server; its WAYSTATION_HOME is `folder`/home.

    Args:
        env: More environment, such as WAYSTATION_AUTH__MODE.
        jobs: How many runs it makes at once.
    """
    port = free_port()
    environ = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "WAYSTATION_", "LANG"))},
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "LANGGRAPH_NO_VERSION_CHECK": "1",
        "LANGSMITH_TRACING": "false",
        "WAYSTATION_HOME": str(folder / "home"),
        "WAYSTATION_CONFIG_DIR": str(ROOT / "config"),
        # Vectors of the handbook take a core for seconds.
        "WAYSTATION_RAG__SEARCH": "words",
        **(env or {}),
    }
    command = [
        str(Path(sys.executable).parent / "langgraph"),
        "dev",
        "--config",
        str(ROOT / "langgraph.json"),
    ]
    options = ["--no-browser", "--no-reload", "--allow-blocking", "--port", str(port)]
    options += ["--n-jobs-per-worker", str(jobs)]
    log = folder / "studio.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*command, *options], cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
        )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        try:
            _wait(client, process, log)
            yield client
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/ok").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"langgraph dev did not start:\n{log.read_text()[-4000:]}")
