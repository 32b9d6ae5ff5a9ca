"""The tutorial's graph as `langgraph dev` serves it, on the model at OPENAI_BASE_URL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.systems.graph import tutorial
from waystation.testing.service import ROOT, free_port

START_SECONDS = 120.0
_QUIET = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGGRAPH_NO_VERSION_CHECK": "1", "LANGSMITH_TRACING": "false"}


def made() -> object:
    """What `langgraph.json` names: the server makes the graph of it."""
    return tutorial(os.environ["OPENAI_BASE_URL"])


@contextmanager
def dev_server(folder: Path, model_url: str) -> Iterator[tuple[str, int]]:
    """The server in a process of its own; its address and the id of the process.

    Raises:
        RuntimeError: It did not start.
    """
    folder.mkdir()
    graphs = {"dependencies": [str(ROOT)], "graphs": {"waystation": f"{Path(__file__)}:made"}}
    (folder / "langgraph.json").write_text(json.dumps(graphs))
    port, log = free_port(), folder / "log"
    command = [str(Path(sys.executable).parent / "langgraph"), "dev", "--no-browser", "--no-reload"]
    environ = {**os.environ, **_QUIET, "OPENAI_BASE_URL": model_url, "LOG_LEVEL": "ERROR"}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--n-jobs-per-worker", "4"],
            cwd=folder,
            env={**environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        if not _answers(process, url):
            raise RuntimeError(f"langgraph dev did not start: {log.read_text()[-2000:]}")
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                return client.get(f"{url}/ok").status_code == 200
            except httpx.TransportError:
                time.sleep(0.1)
    return False
