"""Whose code a turn's CPU goes to: the service, sampled while it takes turns.

    python -m bench.profiled [--turns 200] [--at-once 8] [--least 1] [--paced] [--by function] [--also PATH]

The turn of `bench.peers` over `/agent/stream`, on SQLite or `--database postgres`,
with a model that answers at once, or with `--paced` at the pace of a real one.
Prints shares of the service's process by package and room, or by function.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bench import fleet
from bench.load import load
from bench.processes import HERE, Checkout, running, wait_until_ready
from bench.systems.model import ANSWER
from waystation.testing.postgres import PostgresServer
from waystation.testing.process import ServerProcess
from waystation.testing.service import free_port

WARM = 40
RESULT_SECONDS = 20.0
FIRST_SECONDS, TOKEN_SECONDS = 0.2, 0.02


def sampled(
    checkout: Checkout,
    model: str,
    folder: Path,
    storage: Mapping[str, str],
    *,
    turns: int,
    at_once: int,
    by: str,
) -> Mapping[str, float]:
    """CPU seconds of the service by owner, over so many turns.

    Args:
        storage: The setting of its database; empty for a file.

    Raises:
        RuntimeError: It did not start, or wrote no result.
    """
    folder.mkdir()
    fleet.write_config(folder)
    port, result, log = free_port(), folder / "result.json", folder / "service.log"
    words = [*checkout.words("bench.systems.sampled"), str(result), by, "serve", "--port", str(port)]
    env = {**fleet.settings(model, folder), **storage}
    with running(words, checkout, log, env) as process:
        wait_until_ready(f"http://127.0.0.1:{port}/health/ready", process, log)
        for count, sign in ((WARM, signal.SIGUSR1), (turns, signal.SIGUSR2)):
            asyncio.run(ask(port, count, at_once))
            os.kill(process.pid, sign)
        deadline = time.monotonic() + RESULT_SECONDS
        while not result.exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
        if not result.exists():
            raise RuntimeError(f"no result:\n{log.read_text()[-3000:]}")
    found: Mapping[str, float] = json.loads(result.read_text())
    return found


async def ask(port: int, turns: int, at_once: int) -> None:
    """Turns that are answered as they must be."""
    label = f"p{turns}-"
    found = await load(
        port, fleet.ask_stream, fleet.said_in_events, at_once=at_once, turns=turns, label=label
    )
    assert all(turn.said == ANSWER for turn in found), found


def show(name: str, found: Mapping[str, float], turns: int, least: float) -> None:
    """A line for each owner of at least so many percent."""
    everything = sum(found.values())
    print(f"\n{name}: {everything * 1000 / turns:.1f} ms of CPU a turn")
    rest = 0.0
    for owner, seconds in sorted(found.items(), key=lambda pair: -pair[1]):
        share = seconds / everything * 100
        if share < least:
            rest += share
        else:
            print(f"  {owner:<60}{share:>6.1f} %{seconds * 1000 / turns:>8.2f} ms")
    print(f"  {'below that':<60}{rest:>6.1f} %")


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--turns", type=int, default=200, help="turns that are sampled")
    parser.add_argument("--at-once", type=int, default=8, help="turns at a time")
    parser.add_argument("--least", type=float, default=1.0, help="percent of what gets a line")
    parser.add_argument("--paced", action="store_true", help="200 ms to the first token, 20 ms to each other")
    parser.add_argument("--by", choices=("owner", "function"), default="owner", help="what gets a line")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--also", type=Path, help="another checkout, with its own .venv")
    given = parser.parse_args(words)
    checkouts = (HERE, *((Checkout("before", given.also.resolve()),) if given.also else ()))
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        model = stack.enter_context(ServerProcess("bench.systems.model", path="/v1"))
        server = stack.enter_context(PostgresServer()) if given.database == "postgres" else None
        if given.paced:
            model.ask("POST", "/control", {"first": FIRST_SECONDS, "token": TOKEN_SECONDS})
        for checkout in checkouts:
            room = Path(folder) / checkout.name
            storage = fleet.stored_on(server) if server else {}
            found = sampled(
                checkout, model.url, room, storage, turns=given.turns, at_once=given.at_once, by=given.by
            )
            show(checkout.name, found, given.turns, given.least)


if __name__ == "__main__":
    main()
