"""Three hosts and a balancer, while hosts are killed, frozen, cut off and rolled to a new release.

    python -m tests.campaigns.hosts [--turns 500] [--clients 32] [--held 6] [--seed 1] [--lease 15]
        [--acts kill-a,freeze-b,...] [--pooled] [--if-possible]

Needs root, `ip`, `unshare` and nginx: each host is a network namespace with a name, homes and processes of
its own, and a line to a fourth with PostgreSQL, Redis, S3, the model and nginx with the file of `deploy/`.
Two processes answer and two execute; a host's clock is wrong by 30 s where there is a C compiler. The new
release is a copy of this one with another version and one migration more. Clients ask again and read on: in
the end every turn has its answer, every message stands once, no tool worked twice, and nothing goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import email.utils
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx

from tests.campaigns import namespaces
from tests.campaigns.clocks import MISSING, wrong_clock
from tests.campaigns.fleet import LEASE_SECONDS, until_live
from tests.campaigns.grounds import Grounds
from tests.campaigns.namespaces import HUB, Network
from tests.campaigns.persistent import Persistent, timeout
from tests.campaigns.releases import NEXT, next_release
from tests.campaigns.victims import Site, Victim, nursery
from tests.kit.nginx import nginx
from waystation.testing.redis import RedisServer
from waystation.testing.service import ROOT

ROLES = {"a": ("api",), "b": ("worker",), "c": ("api", "worker")}
PORTS = {"api": 8000, "worker": 8101}
BALANCER = f"{HUB}:8080"
SKEWED, SKEW_SECONDS = "c", 30
# Where a host has the new release, others have the old one for a while.
OLD = ("kill-a", "freeze-b", "cut-c", "lose-c", "freeze-a", "cut-b")
MIXED = ("roll-a", "freeze-c", "roll-b", "cut-a", "roll-c", "lose-b")
ACTS = (*OLD, *MIXED)
SETTLE_SECONDS = 60.0


class Host:
    """A host of the fleet: its processes, and what happens to it."""

    def __init__(self, network: Network, name: str, sites: dict[str, Site], lease: float) -> None:
        self._network = network
        self.name = name
        self.sites = sites
        self._away = 1.3 * lease + 1
        self._parents: list[Popen[str]] = []
        self.victims: list[Victim] = []

    def settle(self, parent: Popen[str]) -> None:
        """Processes come from this nursery from now on."""
        self._parents.append(parent)

    def launch(self) -> None:
        address = self._network.address(self.name)
        self.victims = [
            Victim(self._parents[-1], site, (address, PORTS[role])) for role, site in self.sites.items()
        ]
        for victim in self.victims:
            victim.launch()

    async def started(self) -> None:
        self.launch()
        await asyncio.gather(*(asyncio.to_thread(until_live, victim) for victim in self.victims))

    def _all(self, number: signal.Signals) -> None:
        """To every process of the host, tool servers too."""
        parents = {parent.pid for parent in self._parents}
        for pid in self._network.processes(self.name):
            if pid not in parents:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    async def _gone(self) -> None:
        for victim in self.victims:
            if not await asyncio.to_thread(victim.wait):
                await asyncio.to_thread(victim.tell_where)
                raise AssertionError(f"{victim.site.folder.name} does not end; see its log (--keep)")

    async def kill(self) -> None:
        """All processes die, and come again at once."""
        self._all(signal.SIGKILL)
        await self._gone()
        await self.started()

    async def lose(self) -> None:
        """All processes die, and come again when nobody waits for them any more."""
        self._all(signal.SIGKILL)
        await self._gone()
        await asyncio.sleep(self._away)
        await self.started()

    async def freeze(self) -> None:
        self._all(signal.SIGSTOP)
        try:
            await asyncio.sleep(self._away)
        finally:
            self._all(signal.SIGCONT)

    async def cut(self) -> None:
        self._network.cut(self.name)
        try:
            await asyncio.sleep(self._away)
        finally:
            self._network.mend(self.name)

    async def roll(self, parent: Popen[str]) -> None:
        """Told to stop; then the new release comes."""
        for victim in self.victims:
            victim.signal(signal.SIGTERM)
        await self._gone()
        self.settle(parent)
        await self.started()


class Hosts:
    """All of them, and the balancer's address."""

    def __init__(
        self, stack: ExitStack, network: Network, folder: Path, grounds: Grounds, lease: float
    ) -> None:
        self._stack = stack
        self._network = network
        self._folder = folder
        redis = stack.enter_context(RedisServer(address=HUB))
        self.skew = wrong_clock(folder, SKEW_SECONDS)
        self.hosts: dict[str, Host] = {}
        for name, roles in ROLES.items():
            more = {
                "WAYSTATION_SERVER__HOST": network.address(name),
                "WAYSTATION_SERVER__PUBLIC_URL": f"http://{BALANCER}",
                "WAYSTATION_SERVER__ALLOW_REMOTE": "true",
                "WAYSTATION_AUTH__TRUST_EVERYONE": "true",
                "WAYSTATION_CACHE__URL": redis.url,
                "WAYSTATION_TASKS__URL": redis.url,
            }
            sites = {role: grounds.site(folder / f"{name}-{role}", role, **more) for role in roles}
            self.hosts[name] = Host(network, name, sites, lease)
        self._tree = folder / "next"

    def apis(self) -> list[str]:
        return [f"{self._network.address(n)}:{PORTS['api']}" for n, roles in ROLES.items() if "api" in roles]

    async def start(self) -> None:
        for name, host in self.hosts.items():
            host.settle(self._nursery(name))
        await asyncio.gather(*(host.started() for host in self.hosts.values()))

    def _nursery(self, name: str, tree: Path = ROOT) -> Popen[str]:
        clock = ["env", *(f"{key}={value}" for key, value in self.skew.items())] if name == SKEWED else []
        return self._stack.enter_context(nursery(*self._network.around(name), *clock, tree=tree))

    async def happens(self, act: str) -> None:
        """`WHAT-HOST`."""
        what, _, name = act.partition("-")
        host = self.hosts[name]
        if what != "roll":
            await getattr(host, what)()
            return
        if not self._tree.exists():
            await asyncio.to_thread(next_release, self._tree)
        await host.roll(self._nursery(name, tree=self._tree))

    async def differs(self) -> list[str]:
        """What is not as it should be before anything happens: Redis is shared, and a clock is wrong."""
        wrong = []
        async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
            for api in self.apis():
                answer = await http.get(f"http://{api}/health")
                told = str(answer.json())
                wrong += [f"{api}: no Redis in its health: {told[:2000]}"] * ("'store': 'redis'" not in told)
                if self.skew and api.startswith(f"{self._network.address(SKEWED)}:"):
                    said = email.utils.parsedate_to_datetime(answer.headers["date"]).timestamp()
                    off = said - time.time()
                    wrong += [f"its clock is off by {off:.0f} s"] * (abs(off - SKEW_SECONDS) > 5)
        return wrong

    def noted(self) -> Counter[str]:
        sites = [site for host in self.hosts.values() for site in host.sites.values()]
        return Counter(key for site in sites for key in site.noted())

    def faults(self) -> list[str]:
        """What they logged as their own; one that was away hears so when it writes again."""
        sites = [site for host in self.hosts.values() for site in host.sites.values()]
        found = [f"{site.folder.name} {fault}" for site in sites for fault in site.faults()]
        return [fault for fault in found if "LeaseLost" not in fault]


async def campaign(
    grounds: Grounds, hosts: Hosts, *, acts: list[str], clients: int, turns: int, held: int, seed: int
) -> tuple[list[str], Persistent]:
    """What is wrong after so many turns, spread over what happens to hosts."""
    await hosts.start()
    wrong = await hosts.differs()
    many = httpx.Limits(max_connections=None)
    opening = httpx.AsyncClient(
        base_url=f"http://{BALANCER}", timeout=timeout(), trust_env=False, limits=many
    )
    async with opening as http:
        made = Persistent(http, seed=seed)
        for act in acts:
            began, before = time.monotonic(), sum(made.kinds.values())
            async with made.held(held, grounds.free):
                load = asyncio.create_task(made.some(clients, -(-turns // len(acts))))
                await asyncio.sleep(0.5)  # turns of every kind are under way
                await hosts.happens(act)
            await load
            took, count = time.monotonic() - began, sum(made.kinds.values()) - before
            print(f"{act:<9} {count} turns, {took:.0f} s, {len(made.wrong)} wrong so far", flush=True)
        wrong += [*made.wrong, *await made.transcripts()]
    deadline = time.monotonic() + SETTLE_SECONDS
    while grounds.active() and time.monotonic() < deadline:  # noqa: ASYNC110 - other processes
        await asyncio.sleep(0.1)
    doubled = [f"{key} was done {times} times" for key, times in hosts.noted().items() if times > 1]
    rolled = {"roll-b", "roll-c"} <= set(acts)
    old = [f"a worker of release {name}" for name in grounds.releases() if rolled and name != NEXT]
    return [*wrong, *doubled, *old, *grounds.active(), *hosts.faults()], made


def _keep(folder: Path, kept: Path) -> None:
    kept.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*/service.log"):
        shutil.copy(log, kept / f"{log.parent.name}.log")


def _arguments() -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--turns", type=int, default=500)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--held", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lease", type=float, default=LEASE_SECONDS)
    parser.add_argument("--acts", default=",".join(ACTS))
    parser.add_argument("--pooled", action="store_true")
    parser.add_argument("--keep", default="", help="A folder for the logs of all processes.")
    parser.add_argument("--if-possible", action="store_true", help="Where it cannot run, that is no failure.")
    return vars(parser.parse_args())


def main() -> int:
    given = _arguments()
    possible, pooled, lease, kept = (given.pop(name) for name in ("if_possible", "pooled", "lease", "keep"))
    if missing := namespaces.missing():
        print(f"no hosts: {missing}", file=sys.stderr)
        return 0 if possible else 2
    # What was made is taken away, however this ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    started = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        if kept:
            stack.callback(_keep, folder, Path(kept))
        network = stack.enter_context(namespaces.opened(list(ROLES)))
        grounds = Grounds(stack, folder, lease=lease, pooled=pooled, address=HUB)
        hosts = Hosts(stack, network, folder, grounds, lease)
        balancer = folder / "nginx"
        balancer.mkdir()
        stack.enter_context(nginx(balancer, BALANCER, hosts.apis()))
        given["acts"] = given["acts"].split(",")
        wrong, made = asyncio.run(campaign(grounds, hosts, **given))
        taken = grounds.taken_over()
    print("\n".join(wrong))
    if not hosts.skew:
        print(MISSING)
    way = "through pgbouncer" if pooled else "direct"
    print(f"{sum(made.kinds.values())} turns {dict(made.kinds)}, {way}: {len(wrong)} wrong;", end=" ")
    print(f"{taken} taken over by another worker, {made.resumed} streams read on,", end=" ")
    print(f"{made.elsewhere} of them at another host; asked again {dict(made.again)};", end=" ")
    print(f"{time.monotonic() - started:.0f} s, seed {given['seed']}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
