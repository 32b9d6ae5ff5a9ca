"""Forks services from a process that has everything imported: `python -m tests.campaigns.nursery`.

A line of JSON asks for one ({"port", "env", "armed", "log"}), a line with its
process id answers. Starting an interpreter anew takes seconds and would be most
of a campaign; a forked service differs in nothing else.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import json
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, NoReturn

import graph.runs.lease
import graph.service.stops
import graph.service.supervisor
import nodes.llm.adapters.openai  # noqa: F401 - the first turn imports it
import server.app  # noqa: F401
from core.settings import Context, Places
from graph import Agent
from server.serve import loop_factory, serve
from tests.campaigns.trapped import set_traps
from tests.campaigns.traps import Trap

INTERRUPT_SECONDS = 0.3
LEASE_VARIABLE = "CAMPAIGN_LEASE_SECONDS"


def run_service(wanted: dict[str, Any]) -> None:
    """As `waystation serve` does, with traps set."""
    os.environ.clear()
    os.environ.update(wanted["env"])
    # One that does not end is asked where it stands.
    faulthandler.register(signal.SIGUSR1)
    set_traps(Trap(Path(wanted["armed"])))
    # A held answer never comes to a checkpoint: do not wait 20 s for it when it is to be interrupted.
    graph.service.stops.GRACE_SECONDS = INTERRUPT_SECONDS
    if seconds := os.environ.get(LEASE_VARIABLE):
        # A frozen process is given up sooner: samples have no time for the service's own lease.
        graph.runs.lease.LEASE_SECONDS = float(seconds)
        graph.runs.lease.BEAT_SECONDS = float(seconds) / 4
        graph.service.supervisor.SWEEP_SECONDS = float(seconds) / 4
    context = Context.current(server={"port": wanted["port"]})
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(context))


def become_service(wanted: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with open(os.devnull, "rb") as nothing, open(wanted["log"], "ab") as log:
            os.dup2(nothing.fileno(), 0)
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        run_service(wanted)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def reap(*_: object) -> None:
    """The dead are taken away at once: others ask whether their process is there."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


async def warm_up() -> None:
    """A turn, for all that is imported and worked out by the first one."""
    with tempfile.TemporaryDirectory() as folder:
        places = Places(Path(folder) / "config", Path(folder) / "home")
        places.config_dir.mkdir()
        small: dict[str, dict[str, Any]] = {"mcp": {"bundled": False}, "modules": {"disabled": ["rag"]}}
        async with Agent.open(Context(places, {}, small), worker=True) as agent:
            await agent.ask("What is 5 + 3?")


def main() -> None:
    asyncio.run(warm_up())
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(timeout=10)
    left = [thread.name for thread in threading.enumerate()]
    assert len(left) == 1, f"a forked process keeps only the thread that forks: {left}"
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, reap)
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            become_service(json.loads(line))
        print(pid, flush=True)


if __name__ == "__main__":
    main()
