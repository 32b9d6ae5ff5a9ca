"""A service that was told to stop is gone in time, whatever hangs in it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx

from server.stopping import FORCED
from tests.kit.http import turn
from tests.kit.patience import A_BUSY_MACHINE_S
from waystation.testing.agents import write_config
from waystation.testing.service import ROOT, START_SECONDS, environment, free_port

# A step of a user's own that stops the whole process, as one that waits for a lock does.
PROGRAM = """
import asyncio, sys, time
from pathlib import Path
import graph.wiring.services as services
from core.registry import Module, discover
from core.settings import Context
from core.steps import Step
from server.serve import serve

async def hang(state):
    Path(sys.argv[1]).touch()
    time.sleep(600)

mine = Module("mine", "Hangs.", step=Step("hang", hang, before="call_model"))
services.discover = lambda: [*discover(), mine]
asyncio.run(serve(Context.current()))
"""


def test_a_process_whose_run_never_stops_is_gone_in_time_and_says_where_it_was(tmp_path: Path) -> None:
    port, begun = free_port(), tmp_path / "begun"
    given = {
        "WAYSTATION_SERVER__PORT": str(port),
        "WAYSTATION_SERVER__DRAIN_SECONDS": "0",
        "WAYSTATION_SERVER__STOP_SECONDS": "1",
        "WAYSTATION_MODULES__DISABLED": '["rag"]',
        "WAYSTATION_MCP__BUNDLED": "false",
    }
    env = environment(tmp_path / "home", config_dir=write_config(tmp_path), env=given)
    command = [sys.executable, "-c", PROGRAM, str(begun)]
    with subprocess.Popen(command, cwd=ROOT, env=env, text=True, stdout=-1, stderr=-2) as process:
        try:
            _begin_a_turn(process, port, begun)
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=A_BUSY_MACHINE_S)
        finally:
            process.kill()
    assert process.returncode == FORCED
    [line] = [line for line in said.splitlines() if "stop_forced" in line]
    assert "MainThread: hang <" in line
    assert str(ROOT) not in line


def _begin_a_turn(process: subprocess.Popen[str], port: int, begun: Path) -> None:
    """Ask until it has begun; nobody gets an answer."""
    deadline = time.monotonic() + START_SECONDS
    while not begun.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline, "it did not start"
        with suppress(httpx.TransportError):
            httpx.post(f"http://127.0.0.1:{port}/agent/invoke", json=turn(), timeout=1, trust_env=False)
