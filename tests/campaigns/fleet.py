"""One process that answers and workers that execute, while these are killed, frozen, drained and replaced.

    python -m tests.campaigns.fleet [--turns 240] [--clients 12] [--workers 2] [--rounds 3] [--seed 1]
        [--lease 15] [--pooled]

Processes with homes of their own on one PostgreSQL, and files in one S3. Clients stream, cut their streams,
invoke, approve, cancel, upload and run in the background; the worker that something happens to is always one
with a turn at work. In the end every turn has its answer, every message stands once, no tool worked twice,
and nothing goes on. With `--pooled` all go through pgbouncer, which shares connections by transaction.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen

import httpx

from tests.campaigns.callers import TURN_SECONDS, Clients
from tests.campaigns.grounds import Grounds
from tests.campaigns.victims import Victim, nursery

LEASE_SECONDS = 15.0


class Fleet:
    """An api and its workers; each worker is known by its number."""

    def __init__(self, made: Callable[[str], Victim], workers: int, *, lease: float) -> None:
        self._made = made
        self._lease = lease
        self._numbers = itertools.count(1)
        self.api = made("api")
        self.workers: list[Victim] = []
        self.gone: list[Victim] = []
        self._wanted = workers
        self._coming: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self.api.launch()
        for _ in range(self._wanted):
            self._another().launch()
        await asyncio.gather(*(asyncio.to_thread(until_live, each) for each in [self.api, *self.workers]))

    def _another(self) -> Victim:
        worker = self._made(f"worker{next(self._numbers)}")
        self.workers.append(worker)
        return worker

    def replace(self) -> None:
        """One worker more, as soon as it has started: what goes on meanwhile goes on at the others."""
        worker = self._another()
        worker.launch()
        self._coming.append(asyncio.create_task(asyncio.to_thread(until_live, worker)))

    async def all_there(self) -> None:
        """Everyone who was to come has come."""
        await asyncio.gather(*self._coming)

    def _busy(self, holders: list[str]) -> Victim:
        """A worker that holds one of the threads, by the process that each holder names."""
        pids = {int(holder.split(":")[1]) for holder in holders}
        return next(worker for worker in self.workers if worker.pid in pids)

    async def kill(self, holders: list[str]) -> None:
        """One that has a turn at work is killed, and another one comes."""
        worker = self._busy(holders)
        self.workers.remove(worker)
        await asyncio.to_thread(worker.kill)
        self.gone.append(worker)
        self.replace()

    async def freeze(self, holders: list[str]) -> None:
        """One that has a turn at work is stopped for longer than its lease, and goes on."""
        worker = self._busy(holders)
        worker.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(1.3 * self._lease + 1)
        finally:
            worker.signal(signal.SIGCONT)

    async def drain(self, holders: list[str]) -> None:
        """Another one comes, and one that has a turn at work is told to stop."""
        self.replace()
        worker = self._busy(holders)
        self.workers.remove(worker)
        worker.signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait), "a drained worker does not end"
        self.gone.append(worker)

    def noted(self) -> Counter[str]:
        """How often each call was made, in whatever process."""
        everyone = [self.api, *self.workers, *self.gone]
        return Counter(key for each in everyone for key in each.site.noted())

    def faults(self) -> list[str]:
        """What they logged as their own faults."""
        everyone = [self.api, *self.workers, *self.gone]
        found = [fault for each in everyone for fault in each.site.faults()]
        # One that was frozen hears so when it writes again.
        return [fault for fault in found if "LeaseLost" not in fault]

    def end(self) -> None:
        for each in [self.api, *self.workers]:
            each.signal(signal.SIGCONT)
            each.signal(signal.SIGKILL)


def until_live(victim: Victim) -> None:
    """Returns when it answers."""
    deadline = time.monotonic() + TURN_SECONDS
    with httpx.Client(trust_env=False, timeout=TURN_SECONDS) as client:
        while time.monotonic() < deadline and victim.alive:
            try:
                if client.get(f"{victim.url}/health/live").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.01)  # its port is not there yet
    raise AssertionError(f"it did not start:\n{victim.site.log.read_text()[-3000:]}")


def of_processes(parent: Popen[str], grounds: Grounds, folder: Path) -> Callable[[str], Victim]:
    """What makes a process of the fleet, each in a home of its own."""

    def made(name: str) -> Victim:
        role = "api" if name == "api" else "worker"
        return Victim(parent, grounds.site(folder / name, role))

    return made


async def campaign(
    grounds: Grounds,
    made_of: Callable[[str], Victim],
    *,
    workers: int,
    clients: int,
    turns: int,
    rounds: int,
    lease: float,
    seed: int,
) -> tuple[list[str], Clients]:
    """What is wrong after so many turns, spread over rounds of kills, freezing and draining."""
    fleet = Fleet(made_of, workers, lease=lease)
    try:
        await fleet.start()
        many = httpx.Limits(max_connections=None)
        opening = httpx.AsyncClient(
            base_url=fleet.api.url, timeout=TURN_SECONDS, trust_env=False, limits=many
        )
        async with opening as http:
            made = Clients(http, seed=seed)
            acts = [fleet.kill, fleet.freeze, fleet.drain]
            for act in acts * rounds:
                async with made.held(2, grounds.free):
                    load = asyncio.create_task(made.some(clients, max(turns // (len(acts) * rounds), 1)))
                    await act(grounds.holders())
                    await load
            await fleet.all_there()
            wrong = [*made.wrong, *await made.transcripts()]
        doubled = [f"{key} was done {times} times" for key, times in fleet.noted().items() if times > 1]
        return [*wrong, *doubled, *grounds.active(), *fleet.faults()], made
    finally:
        fleet.end()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--turns", type=int, default=240)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lease", type=float, default=LEASE_SECONDS)
    parser.add_argument("--pooled", action="store_true")
    given = vars(parser.parse_args())
    started = time.monotonic()
    pooled = given.pop("pooled")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        parent = stack.enter_context(nursery(wait=False))
        grounds = Grounds(stack, folder, lease=given["lease"], pooled=pooled)
        wrong, made = asyncio.run(campaign(grounds, of_processes(parent, grounds, folder), **given))
        taken = grounds.taken_over()
    print("\n".join(wrong))
    way = "through pgbouncer" if pooled else "direct"
    print(f"{sum(made.kinds.values())} turns {dict(made.kinds)}, {way}: {len(wrong)} wrong;", end=" ")
    print(f"{taken} taken over by another worker; {time.monotonic() - started:.0f} s, seed {given['seed']}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
