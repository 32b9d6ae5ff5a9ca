"""Kill a turn at a random point, many times, and look whether anything was lost.

    python -m tests.campaigns.kills [--kills 50] [--seed 1]

Each round: a process asks "first", then "second", and kills itself with
signal 9 some milliseconds after a random event of the second turn. Another
process opens the same home and asks "third". Then thread and transcript must
hold every acknowledged message once and in order, and the model server must
never have seen a request with unanswered tool calls (it would have refused).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from core.access import Principal
from tests.kit.agents import open_agent
from tests.kit.model_server import ModelServer, calls, say

TOOLS = calls(("calculator_add", {"a": 1, "b": 2}), ("calculator_add", {"a": 3, "b": 2}))
LAST_EVENT = 14
LATEST_SECONDS = 0.05


async def victim(home: Path, url: str, seed: int) -> None:
    """Two turns; the second does not live to its end."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    fatal, delay = chance.randint(1, LAST_EVENT), chance.random() * LATEST_SECONDS
    async with open_agent(home, model_url=url) as agent:
        await agent.ask("first", thread="t1")
        async for event in agent.stream("second", thread="t1"):
            print(event["type"], flush=True)
            if event["seq"] == fatal:
                threading.Timer(delay, os.kill, (os.getpid(), 9)).start()
        await asyncio.sleep(delay)
        os.kill(os.getpid(), 9)


async def survivor(home: Path, url: str) -> str:
    """The next turn on the thread; what is wrong with the thread after it, or nothing."""
    async with open_agent(home, model_url=url, mcp={"bundled": False}) as agent:
        reply = await agent.ask("third", thread="t1")
        state = await agent.threads.state(Principal("local"), "t1")
        page = await agent.threads.transcript(Principal("local"), "t1")
    told = {
        "state": [m["text"] for m in state["messages"] if m["role"] == "user"],
        "transcript": [m["text"] for m in page["messages"] if m["role"] == "user"],
    }
    wrong = [f"{place}: {texts}" for place, texts in told.items() if texts != ["first", "second", "third"]]
    ids = [m["id"] for m in page["messages"]]
    if len(set(ids)) != len(ids):
        wrong.append("a message stands twice")
    if reply["status"] != "done":
        wrong.append(f"the next turn ended {reply['status']}")
    return "; ".join(wrong)


def one_round(server: ModelServer, seed: int) -> tuple[str, str]:
    """(where it was killed, what is wrong)."""
    with tempfile.TemporaryDirectory() as folder:
        server.reset()
        server.script(say("one"), TOOLS, say("one two three four"))
        command = [sys.executable, "-m", "tests.campaigns.kills", "--victim", folder, server.url, str(seed)]
        died = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if died.returncode != -9:
            return "", f"the victim ended with {died.returncode}: {died.stderr[-300:]}"
        server.reset()
        told = died.stdout.split() or ["nothing"]
        return f"{len(told)} {told[-1]}", asyncio.run(survivor(Path(folder), server.url))


def campaign(kills: int, seed: int) -> int:
    """Run the rounds; how many went wrong."""
    started, bad = time.monotonic(), 0
    with ModelServer() as server:
        for number in range(seed, seed + kills):
            place, wrong = one_round(server, number)
            bad += bool(wrong)
            print(f"{number:>4}  killed after event {place:<16} {wrong or 'ok'}", flush=True)
    print(f"{kills} kills, {bad} with a loss, {time.monotonic() - started:.0f} s")
    return bad


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--victim", nargs=3, metavar=("HOME", "URL", "SEED"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.victim:
        home, url, seed = given.victim
        asyncio.run(victim(Path(home), url, int(seed)))
    sys.exit(1 if campaign(given.kills, given.seed) else 0)


if __name__ == "__main__":
    main()
