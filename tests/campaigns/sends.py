"""Ten messages at once to one thread, many times: each is stored in some order, or refused with 409.

    python -m tests.campaigns.sends [--times 300] [--database sqlite|postgres] [--seed 1]

Two agents with the same database, as two replicas of a service, get five
messages each. A round's messages are all to be refused when the thread is
busy, all to wait in line, or mixed with some that interrupt.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from core.access import Principal
from core.settings import Context, Places
from graph import Agent
from graph.errors import ThreadBusy
from graph.runs.record import OnBusy
from tests.campaigns.journal import doubled
from tests.campaigns.victims import storage_of

LOCAL = Principal("local")
AT_ONCE = 10
ROUND_SECONDS = 60.0
MIXED: tuple[OnBusy, ...] = ("reject", "enqueue", "interrupt")


@asynccontextmanager
async def replicas(folder: Path, storage: str) -> AsyncIterator[tuple[Agent, Agent]]:
    """Two agents on one database and one home, on the offline model."""
    places = Places(folder / "config", folder / "home")
    places.config_dir.mkdir(exist_ok=True)
    settings: dict[str, Any] = {"mcp": {"bundled": False}, "modules": {"disabled": ["rag"]}}
    if storage:
        settings["storage"] = {"url": storage}
    context = Context(places, {}, settings)
    async with Agent.open(context, worker=True) as one, Agent.open(context, worker=True) as other:
        yield one, other


class Sends:
    """Rounds of messages, and what came of each."""

    def __init__(self, agents: Sequence[Agent], *, seed: int) -> None:
        self._agents = agents
        self._chance = random.Random(seed)  # noqa: S311 - not for secrets
        self.counts: Counter[str] = Counter()

    async def round(self, number: int) -> list[str]:
        """One thread, ten messages; what is wrong."""
        thread = f"t{number}"
        manners = self._manners(number)
        asked = [self._ask(thread, place, manner) for place, manner in enumerate(manners)]
        async with asyncio.timeout(ROUND_SECONDS):
            results = await asyncio.gather(*asked)
        self.counts.update(results)
        wrong = [f"{thread}: {each}" for each in results if each not in ("done", "cancelled", "refused")]
        wrong += self._manners_kept(thread, manners, results)
        taken = [text_of(place) for place, result in enumerate(results) if result != "refused"]
        return wrong + await self._look(thread, taken)

    def _manners(self, number: int) -> list[OnBusy]:
        if number % 3 < 2:
            return [MIXED[number % 3]] * AT_ONCE
        return [self._chance.choice(MIXED) for _ in range(AT_ONCE)]

    async def _ask(self, thread: str, place: int, manner: OnBusy) -> str:
        agent = self._agents[place % len(self._agents)]
        try:
            reply = await agent.ask(text_of(place), thread=thread, on_busy=manner)
        except ThreadBusy:
            return "refused"
        return str(reply["status"])

    def _manners_kept(self, thread: str, manners: Sequence[OnBusy], results: Sequence[str]) -> list[str]:
        """Only who wants to be refused is, and only who is interrupted is cancelled."""
        wrong = []
        for manner, result in zip(manners, results, strict=True):
            if result == "refused" and manner != "reject":
                wrong.append(f"{thread}: a message that {manner}s was refused")
            if result == "cancelled" and "interrupt" not in manners:
                wrong.append(f"{thread}: a message was cancelled that nobody interrupted")
        if "refused" not in results and set(manners) == {"reject"}:
            wrong.append(f"{thread}: nobody was refused")
        return wrong

    async def _look(self, thread: str, taken: list[str]) -> list[str]:
        """The thread holds what was taken, once; the next message works."""
        agent = self._agents[0]
        reply = await agent.ask("And now?", thread=thread)
        wrong = [] if reply["status"] == "done" else [f"{thread}: the next message ended {reply['status']}"]
        page = await agent.threads.transcript(LOCAL, thread, limit=200)
        state = await agent.threads.state(LOCAL, thread)
        stored, window = (said(found["messages"]) for found in (page, state))
        if sorted(stored) != sorted([*taken, "And now?"]):
            wrong.append(f"{thread}: taken {sorted(taken)}, stored {stored}")
        if window != stored:
            wrong.append(f"{thread}: the state has {window}, the transcript {stored}")
        wrong += [
            f"{thread}: message {name} stands twice" for name in doubled(m["id"] for m in page["messages"])
        ]
        wrong += [
            f"{thread}: run {run.id} is {run.status}"
            for run in await agent.runs.list(LOCAL, thread_id=thread)
            if run.active
        ]
        return wrong


def text_of(place: int) -> str:
    return f"What is {place} + 1?"


def said(messages: Sequence[dict[str, Any]]) -> list[str]:
    return [message["text"] for message in messages if message["role"] == "user"]


async def campaign(times: int, kind: str, seed: int) -> int:
    """Run the rounds and print what came of them; how much is wrong."""
    started, found = time.monotonic(), list[str]()
    with tempfile.TemporaryDirectory() as folder, storage_of(kind) as storage:
        async with replicas(Path(folder), storage) as agents:
            sends = Sends(agents, seed=seed)
            for number in range(times):
                wrong = await sends.round(number)
                found += wrong
                if wrong or number % 50 == 49:
                    print(f"{number + 1:>4}  {'; '.join(wrong) or 'ok'}", flush=True)
    told = ", ".join(f"{count} {result}" for result, count in sorted(sends.counts.items()))
    print(
        f"{kind}: {times} times {AT_ONCE} messages: {told}; {time.monotonic() - started:.0f} s;"
        f" {len(found)} things wrong"
    )
    return len(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--times", type=int, default=300)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.exit(1 if asyncio.run(campaign(given.times, given.database, given.seed)) else 0)


if __name__ == "__main__":
    main()
