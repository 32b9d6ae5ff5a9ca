"""Take the database away from a service at random moments, and look whether anything was lost or doubled.

    python -m tests.campaigns.outages [--outages 100] [--database sqlite|postgres|pair] [--seed 1]

The clients of `kills` talk to a real service on a strict endpoint, which nobody
kills. Its database goes: PostgreSQL crashes and recovers, is frozen, or drops
every connection; a SQLite file is locked by another program, or may not grow
any more; of a pair of servers the primary is killed, and its synchronous standby
takes its place. It comes back seconds later. Then the next message has to work in
every thread, and threads, runs and tools are held against the journal. No
answer may be a fault of ours, and none of the refusals may keep its caller for long.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import httpx
from sqlalchemy import select
from sqlalchemy.engine import Engine

from graph.db.tables import runs
from tests.campaigns import checks
from tests.campaigns.clients import Client
from tests.campaigns.journal import Journal, Sent
from tests.campaigns.model import RuleServer
from tests.campaigns.victims import Site, Victim, nursery, plain
from tests.kit.standby import Pair
from waystation.testing.postgres import PostgresServer

CLIENTS = 8
LONGEST_SECONDS = 6.0
BACK_SECONDS = 15.0
# A caller hears within five seconds; the rest is for a machine that does other things too.
TOLD_SECONDS = 5.0
ROOM_BYTES = 64 * 1024
KINDS = {
    "postgres": ("crash", "freeze", "cut"),
    "sqlite": ("lock", "shut", "full"),
    "pair": ("failover",),
}


class Patient(Client):
    """Goes on when it is told that the database is away, and notes how long that took to be told."""

    def __init__(
        self, number: int, url: str, journal: Journal, chance: random.Random, *, shared: bool = False
    ) -> None:
        super().__init__(number, url, journal, chance, shared=shared)
        self.over = False
        self.away_since = 0.0
        self.slowest = 0.0
        self.slowest_at = ""
        self.faults: list[str] = []

    async def talk(self) -> None:
        while not self.over:
            if not await self._send_something():
                await asyncio.sleep(0.1)

    def _noted(self, sent: Sent, answer: httpx.Response) -> None:
        super()._noted(sent, answer)
        if answer.status_code == 503:
            now = time.monotonic()
            asked = now - answer.elapsed.total_seconds()
            if (took := now - max(asked, self.away_since)) > self.slowest:
                said = answer.json().get("detail", "")
                self.slowest, self.slowest_at = took, f"{answer.request.method} {answer.url.path}: {said}"
            # Whether it was stored before the answer got lost is not known: it may stand, and need not.
            sent.state = "unknown"
        if answer.status_code >= 500 and answer.status_code != 503:
            self.faults.append(f"{sent.id}: {answer.status_code} {answer.text[:200]}")


class Outages:
    """A service, its database, its clients, and what was found."""

    def __init__(
        self,
        parent: subprocess.Popen[str],
        site: Site,
        model: RuleServer,
        *,
        server: PostgresServer | Pair | None,
        seed: int,
        clients: int,
    ) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - not for secrets
        self.site = site
        self.model = model
        self.victim = Victim(parent, site)
        self.journal = Journal()
        self._server = server
        self.clients = [
            Patient(n, self.victim.url, self.journal, self.chance, shared=n >= max(clients - 2, 2))
            for n in range(clients)
        ]
        self.threads = checks.Threads(self.clients[0].http, self.journal)
        self.counted: Counter[str] = Counter()
        self.slowest_back = 0.0
        self.found: list[str] = []

    @property
    def slowest(self) -> tuple[float, str]:
        """The longest that a caller waited to be told, what it had asked, and what it was told."""
        return max((client.slowest, client.slowest_at) for client in self.clients)

    async def round(self, kind: str, *, longest: float = LONGEST_SECONDS) -> list[str]:
        """One outage and all that is looked at after it; what is wrong, or nothing."""
        before = len(self.found)
        if not self.victim.alive:
            await asyncio.to_thread(self.victim.start)
        for client in self.clients:
            client.over = False
        talking = [asyncio.create_task(client.talk()) for client in self.clients]
        await asyncio.sleep(self.chance.random())
        async with self._away(kind):
            for client in self.clients:
                client.away_since = time.monotonic()
            await asyncio.sleep(self.chance.uniform(0.2, longest))
        self.counted[kind] += 1
        await self._is_back()
        if isinstance(self._server, Pair):
            await asyncio.to_thread(self._server.make_whole)
        for client in self.clients:
            client.over = True
        await asyncio.gather(*talking)
        await self._look()
        return self.found[before:]

    async def close(self) -> None:
        """End the service, and the clients' connections."""
        for client in self.clients:
            await client.aclose()
        if self.victim.alive:
            await asyncio.to_thread(self.victim.kill)

    # -- the database -------------------------------------------------------------------------------

    @asynccontextmanager
    async def _away(self, kind: str) -> AsyncIterator[None]:
        if isinstance(self._server, Pair):
            async with _lost(self._server):
                yield
        elif self._server is not None:
            async with self._postgres_away(self._server, kind):
                yield
        elif kind == "full":
            with self._full():
                yield
        else:
            # Off this loop: the lock itself may have to wait for the service.
            other = sqlite3.connect(
                self.site.home / "waystation.db", timeout=60, check_same_thread=False, isolation_level=None
            )
            await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE" if kind == "lock" else "BEGIN EXCLUSIVE")
            try:
                yield
            finally:
                other.rollback()
                other.close()

    @asynccontextmanager
    async def _postgres_away(self, server: PostgresServer, kind: str) -> AsyncIterator[None]:
        if kind == "cut":
            await asyncio.to_thread(server.cut_everybody)
            yield
            return
        goes, comes = (server.kill, server.start) if kind == "crash" else (server.freeze, server.thaw)
        await asyncio.to_thread(goes)
        try:
            yield
        finally:
            await asyncio.to_thread(comes)

    def _full(self) -> ExitStack:
        """No file of the service grows above its present size, or a little more."""
        stack = ExitStack()
        file = self.site.home / "waystation.db-wal"
        room = (file.stat().st_size if file.exists() else 0) + self.chance.randint(0, ROOM_BYTES)
        before = resource.prlimit(self.victim.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.victim.pid, resource.RLIMIT_FSIZE, (room, before[1]))
        stack.callback(resource.prlimit, self.victim.pid, resource.RLIMIT_FSIZE, before)
        return stack

    # -- what is looked at -----------------------------------------------------------------------------

    async def _is_back(self) -> None:
        """Wait until a turn would work again, which may not take long."""
        began = time.monotonic()
        async with asyncio.timeout(4 * BACK_SECONDS):
            while (await self.clients[0].http.get("/health/ready")).status_code != 200:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        took = time.monotonic() - began
        self.slowest_back = max(self.slowest_back, took)
        if took > BACK_SECONDS:
            self._note([f"it took {took:.0f} s to come back"])

    async def _look(self) -> None:
        engine = checks.reader(self.site)
        try:
            self._note(await checks.settled(engine))
            results = await asyncio.gather(*(client.probe() for client in self.clients))
            self._note(wrong for result in results for wrong in result)
            self._note(await checks.settled(engine))
            for thread in dict.fromkeys(client.thread for client in self.clients):
                self._note(await self.threads.check(thread))
            self._note(self.threads.noted(self.site) + self.threads.receipts(engine, self.site))
            self._note(checks.runs_per_key(engine) + checks.background_ended(engine, self.journal))
            self._note(faults_stored(engine))
        finally:
            engine.dispose()
        self._note(fault for client in self.clients for fault in client.faults)
        self._note(f"the model refused {body}" for body in self.model.refused())
        for client in self.clients:
            client.turn_page()

    def _note(self, wrong: Iterable[str]) -> None:
        self.found += [each for each in dict.fromkeys(wrong) if each not in self.found]


@asynccontextmanager
async def _lost(pair: Pair) -> AsyncIterator[None]:
    await asyncio.to_thread(pair.lose)
    try:
        yield
    finally:
        await asyncio.to_thread(pair.fail_over)


def faults_stored(engine: Engine) -> list[str]:
    """Runs that an outage ended as a fault of ours."""
    with engine.connect() as db:
        rows = db.execute(select(runs.c.id, runs.c.error).where(runs.c.status == "failed")).all()
    return [f"run {row.id} ended as {row.error['code']}" for row in rows if row.error["code"] == "internal"]


def _opened(stack: ExitStack, database: str) -> tuple[PostgresServer | Pair | None, str]:
    """What goes away, and `storage.url`."""
    if database == "pair":
        pair = stack.enter_context(Pair())
        return pair, pair.url(pair.primary.create_database())
    if database == "postgres":
        server = stack.enter_context(PostgresServer())
        return server, plain(server.create_database())
    return None, ""


async def campaign(
    kinds: Sequence[str], database: str, seed: int, clients: int = CLIENTS, *, strict: bool = True
) -> int:
    """Run the rounds and print what came of them; how much is wrong."""
    started = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = stack.enter_context(RuleServer(strict=strict))
        server, storage = _opened(stack, database)
        site = Site(folder, model.url, storage)
        run = Outages(stack.enter_context(nursery()), site, model, server=server, seed=seed, clients=clients)
        stack.callback(run.victim.kill)
        for number, kind in enumerate(kinds, start=1):
            wrong = await run.round(kind)
            print(f"{number:>4}  {kind:<8} {'; '.join(wrong) or 'ok'}", flush=True)
        await run.close()
        counts = run.journal.counted()
        print(
            f"{database}: {run.counted.total()} outages ({dict(run.counted)}), {counts['sent']} sent,"
            f" {counts['acknowledged']} acknowledged, {len(run.site.noted())} tool calls,"
            f" told within {run.slowest[0]:.1f} s ({run.slowest[1]}), back within {run.slowest_back:.1f} s,"
            f" {time.monotonic() - started:.0f} s: {len(run.found)} things wrong"
        )
        for fault in run.site.faults():
            print(f"  logged: {fault}")
        for each in run.found:
            print(f"  {each}")
        return len(run.found)


def schedule(count: int, database: str, chance: random.Random) -> list[str]:
    """Each kind equally often, in any order."""
    kinds = [KINDS[database][number % len(KINDS[database])] for number in range(count)]
    chance.shuffle(kinds)
    return kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--outages", type=int, default=100)
    parser.add_argument("--database", choices=tuple(KINDS), default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lenient", action="store_true", help="An endpoint that takes what OpenAI's does.")
    given = parser.parse_args()
    kinds = schedule(given.outages, given.database, random.Random(given.seed))  # noqa: S311 - not for secrets
    sys.exit(1 if asyncio.run(campaign(kinds, given.database, given.seed, strict=not given.lenient)) else 0)


if __name__ == "__main__":
    main()
