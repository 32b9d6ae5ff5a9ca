"""Kill a service at named and at random points, and look after each kill whether anything was lost.

    python -m tests.campaigns.kills [--kills 200] [--database sqlite|postgres] [--seed 1]

Eight clients talk to a real service in every way there is and keep a journal
of what it acknowledged. The service kills itself with signal 9 at an armed
point (see `traps`), or is killed at a random moment. It is started again; what
goes on by itself is waited for; then each client whose message was cut sends
the next one, and threads, runs, tools and processes are held against the journal.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.campaigns import checks
from tests.campaigns.clients import Client, all_of
from tests.campaigns.journal import Journal
from tests.campaigns.model import RuleServer
from tests.campaigns.traps import AT_REPAIR, IN_A_TURN, LATE, NAMED, OFTEN
from tests.campaigns.victims import Site, Victim, nursery, storage_of

RANDOM = "at a random moment"
CLIENTS = 8
# A point that nobody came to by then is not going to be reached: a kill at random instead.
REACHED_SECONDS = 8.0
LATEST_SECONDS = 0.6
PLACES = (*NAMED, AT_REPAIR, LATE)


class Campaign:
    """A service, its clients, and what was found. Rounds share threads: what one broke the next ones see."""

    def __init__(
        self, nursery: subprocess.Popen[str], site: Site, model: RuleServer, *, seed: int, clients: int
    ) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - not for secrets
        self.site = site
        self.model = model
        self.victim = Victim(nursery, site)
        self.journal = Journal()
        self.clients = [
            Client(number, self.victim.url, self.journal, self.chance, shared=number >= max(clients - 2, 2))
            for number in range(clients)
        ]
        self.threads = checks.Threads(self.clients[0].http, self.journal)
        self.kills: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()
        self.found: list[str] = []

    async def round(self, place: str) -> list[str]:
        """One kill and all that is looked at after it; what is wrong, or nothing."""
        before = len(self.found)
        if not self.victim.alive:
            await self._start()
        first = self.chance.choice(IN_A_TURN) if place == AT_REPAIR else place
        reached = await self._talk_until_dead(first)
        self._count(reached)
        if place == AT_REPAIR:
            await self._die_again()
        await self._start()
        await self._look()
        return self.found[before:]

    async def close(self) -> None:
        """Stop the service as a person would, and look at every thread once more."""
        if self.victim.alive:
            for thread in dict.fromkeys(sent.thread for sent in self.journal.sent):
                self._note(await self.threads.check(thread))
            self.victim.signal(signal.SIGTERM)
            if not await asyncio.to_thread(self.victim.wait):
                self.found.append("SIGTERM does not end the service")
        self._note(checks.tools_gone(self.site, set()))
        for client in self.clients:
            await client.aclose()

    def table(self) -> str:
        """Kills and cut turns per point."""
        rows = [f"| {place} | {self.kills[place]} | {self.cut[place]} |" for place in self.kills]
        return "\n".join(["| point | kills | turns cut |", "|---|---|---|", *rows])

    # -- inside -----------------------------------------------------------------------------------

    async def _start(self) -> None:
        self.victim.disarm()
        await asyncio.to_thread(self.victim.start)

    async def _talk_until_dead(self, place: str) -> str:
        """Where it died."""
        talking = asyncio.create_task(all_of(self.clients))
        if place == RANDOM:
            await asyncio.sleep(self.chance.random() * LATEST_SECONDS)
            self.victim.signal(signal.SIGKILL)
        else:
            self.victim.arm(place, after=self.chance.randint(0, 30 if place in OFTEN else 2))
            if place == "during a drain":
                await asyncio.sleep(self.chance.random() * LATEST_SECONDS)
                self.victim.signal(signal.SIGTERM)
        if not await asyncio.to_thread(self.victim.wait, REACHED_SECONDS):
            place = RANDOM
            await asyncio.to_thread(self.victim.kill)
        await talking
        return place

    async def _die_again(self) -> None:
        """Start it with a trap where it makes the threads whole that the first death left behind."""
        self.victim.arm(AT_REPAIR)
        self.victim.launch()
        if await asyncio.to_thread(self.victim.wait, REACHED_SECONDS):
            self._count(AT_REPAIR)
        else:
            await asyncio.to_thread(self.victim.kill)
            self._count(RANDOM)

    def _note(self, wrong: Iterable[str]) -> None:
        """Keep what is wrong, once: what a kill has spoilt stays so."""
        self.found += [each for each in dict.fromkeys(wrong) if each not in self.found]

    def _count(self, place: str) -> None:
        self.kills[place] += 1
        self.cut[place] += len(self.journal.open())

    async def _look(self) -> None:
        engine = checks.reader(self.site)
        try:
            self._note(await checks.settled(engine))
            touched = await self._next_messages()
            self._note(await checks.settled(engine))
            for thread in touched:
                self._note(await self.threads.check(thread))
            self._note(self.threads.noted(self.site) + self.threads.receipts(engine, self.site))
            self._note(checks.runs_per_key(engine) + checks.background_ended(engine, self.journal))
        finally:
            engine.dispose()
        self._note(await asyncio.to_thread(checks.tools_gone, self.site, self._living_tools()))
        self._note([f"the model refused {body}" for body in self.model.refused()])
        for sent in self.journal.open():
            sent.state = "answered" if sent.must_stand else "unknown"
        for client in self.clients:
            client.turn_page()

    async def _next_messages(self) -> list[str]:
        """Send on, wherever something was cut; the threads that were looked at."""
        cut = self.journal.open()
        for client in self.clients:
            mine = [sent for sent in cut if sent.client == client.number]
            for sent in mine:
                if sent.key:
                    self._note(await client.send_again(sent))
        engine = checks.reader(self.site)
        self._note(await checks.settled(engine))
        engine.dispose()
        hit = {sent.client for sent in cut}
        results = await asyncio.gather(*(c.probe() for c in self.clients if c.number in hit))
        self._note([wrong for result in results for wrong in result])
        return list(dict.fromkeys(sent.thread for sent in cut))

    def _living_tools(self) -> set[int]:
        children = Path(f"/proc/{self.victim.pid}/task/{self.victim.pid}/children")
        return {int(pid) for pid in children.read_text().split()}


def schedule(kills: int, chance: random.Random) -> list[str]:
    """Every named point equally often, with a random kill after every third."""
    wanted: list[str] = []
    while len(wanted) < kills:
        places = list(PLACES)
        chance.shuffle(places)
        for number, place in enumerate(places):
            wanted += [place, RANDOM] if number % 3 == 2 else [place]
    return wanted[:kills]


async def campaign(
    places: Sequence[str], kind: str, seed: int, clients: int = CLIENTS, *, strict: bool = True
) -> int:
    """Run the rounds and print what came of them; how much is wrong."""
    started, faults = time.monotonic(), 0
    with (
        tempfile.TemporaryDirectory() as folder,
        RuleServer(strict=strict) as model,
        storage_of(kind) as storage,
        nursery() as parent,
        ExitStack() as stack,
    ):
        run = Campaign(parent, Site(Path(folder), model.url, storage), model, seed=seed, clients=clients)
        stack.callback(run.victim.kill)
        for number, place in enumerate(places, start=1):
            wrong = await run.round(place)
            took = (time.monotonic() - started) / number
            print(f"{number:>4}  {place:<45} {'; '.join(wrong) or 'ok'}  ({took:.1f} s each)", flush=True)
            for fault in run.site.faults()[faults:]:
                print(f"      {fault}", flush=True)
            faults = len(run.site.faults())
        await run.close()
        counts = run.journal.counted()
        print(run.table())
        print(
            f"{kind}: {run.kills.total()} kills, {counts['sent']} messages sent, {counts['acknowledged']}"
            f" acknowledged, {len(run.site.noted())} tool calls, {model.requests()} model requests,"
            f" {time.monotonic() - started:.0f} s: {len(run.found)} things wrong"
        )
        for each in run.found:
            print(f"  {each}")
        return len(run.found)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lenient", action="store_true", help="An endpoint that takes what OpenAI's does.")
    given = parser.parse_args()
    places = schedule(given.kills, random.Random(given.seed))  # noqa: S311 - not for secrets
    sys.exit(1 if asyncio.run(campaign(places, given.database, given.seed, strict=not given.lenient)) else 0)


if __name__ == "__main__":
    main()
