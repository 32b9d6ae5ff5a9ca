"""Where a service saturates, by simulation: turns that come at random, cores, and one database that commits.

    python -m bench.saturation [--cores 2] [--rates 10,50,100,120] [--seconds 60]

A turn waits for a core, for a model that takes its time, and for commits of the database, again and again:
its CPU is spread over its beginning, its tokens and its end. Cores serve first come, first served. The
database has one commit going; whoever comes meanwhile is in the next one, as with the one writer of a
process. What things cost are the figures of docs/quality.md, and options where they differ elsewhere. The
simulation says when waiting begins to grow; it knows nothing of a network, a cache or a garbage collector.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

WARM = 0.2


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one turn, in seconds: CPU in all, and what else it waits for."""

    cpu: float = 0.021
    first_token: float = 0.2
    token: float = 0.02
    tokens: int = 50
    commits: int = 3
    commit: float = 0.002
    commit_each: float = 0.0002

    @property
    def alone(self) -> float:
        """How long a turn takes with everything for itself."""
        commits = self.commits * (self.commit + self.commit_each)
        return self.cpu + self.first_token + self.token * self.tokens + commits


@dataclass
class World:
    """A clock, cores and a database."""

    cores: int
    costs: Costs
    now: float = 0.0
    busy: float = 0.0
    free: int = 0
    committing: bool = False
    queue: deque[tuple[float, Callable[[], None]]] = field(default_factory=deque)
    group: list[Callable[[], None]] = field(default_factory=list)
    due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    order: itertools.count[int] = field(default_factory=itertools.count)

    def at(self, after: float, then: Callable[[], None]) -> None:
        heapq.heappush(self.due, (self.now + after, next(self.order), then))

    def work(self, seconds: float, then: Callable[[], None]) -> None:
        """A core for so long, as soon as one is free."""
        self.queue.append((seconds, then))
        self._next()

    def _next(self) -> None:
        while self.free and self.queue:
            seconds, then = self.queue.popleft()
            self.free -= 1
            self.busy += seconds
            self.at(seconds, lambda then=then: self._worked(then))  # type: ignore[misc]  # bound now

    def _worked(self, then: Callable[[], None]) -> None:
        self.free += 1
        then()
        self._next()

    def commit(self, then: Callable[[], None]) -> None:
        self.group.append(then)
        if not self.committing:
            self._commit()

    def _commit(self) -> None:
        members, self.group = self.group, []
        self.committing = bool(members)
        if members:
            self.at(self.costs.commit + len(members) * self.costs.commit_each, lambda: self._stored(members))

    def _stored(self, members: list[Callable[[], None]]) -> None:
        self._commit()
        for then in members:
            then()


class Turn:
    """A begin with a commit, tokens, and an end with the others."""

    def __init__(self, world: World) -> None:
        self._world, self._began, self._left = world, world.now, world.costs.tokens
        share = world.costs.cpu / 4
        # A quarter in front of the model, half among the tokens, a quarter behind.
        self._edge, self._each = share, 2 * share / world.costs.tokens
        world.work(share, lambda: world.commit(self._asked))

    def _asked(self) -> None:
        self._world.at(self._world.costs.first_token, lambda: self._world.work(self._each, self._token))

    def _token(self) -> None:
        world, costs = self._world, self._world.costs
        if self._left == costs.tokens:
            world.first.append(world.now - self._began)
        self._left -= 1
        if self._left:
            world.at(costs.token, lambda: world.work(self._each, self._token))
        else:
            world.work(self._edge, lambda: self._end(costs.commits - 1))

    def _end(self, commits: int) -> None:
        if commits:
            self._world.commit(lambda: self._end(commits - 1))
        else:
            self._world.late.append(self._world.now - self._began)


def simulated(rate: float, cores: int, seconds: float, costs: Costs, seed: int = 1) -> World:
    """So many turns a second for so long; what the first fifth brought is left out."""
    dice, world = random.Random(seed), World(cores, costs, free=cores)  # noqa: S311 - no secret

    def come() -> None:
        Turn(world)
        world.at(dice.expovariate(rate), come)

    world.at(0, come)
    while world.due and world.now < seconds:
        world.now, _, then = heapq.heappop(world.due)
        then()
    world.late = sorted(world.late[int(len(world.late) * WARM) :])
    world.first = sorted(world.first[int(len(world.first) * WARM) :])
    return world


def percentile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def main() -> None:
    """A line for each rate."""
    parser = argparse.ArgumentParser(prog="python -m bench.saturation", description="Where it saturates.")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--rates", default="10,50,80,90,100")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--cpu-ms", type=float, default=21.0)
    parser.add_argument("--commit-ms", type=float, default=2)
    options = parser.parse_args()
    costs = Costs(cpu=options.cpu_ms / 1000, commit=options.commit_ms / 1000)
    full = options.cores / costs.cpu
    print(f"a turn alone: {costs.alone:.2f} s; {options.cores} cores are full at {full:.0f} turns a second")
    print("turns/s  cores busy  first token p50  p99  whole turn p50  p99, s")
    for rate in map(float, options.rates.split(",")):
        world = simulated(rate, options.cores, options.seconds, costs)
        busy = min(1.0, world.busy / options.seconds / options.cores)
        times = [percentile(values, share) for values in (world.first, world.late) for share in (0.5, 0.99)]
        print(f"{rate:7.0f}  {busy:9.0%}  " + "  ".join(f"{value:8.2f}" for value in times))


if __name__ == "__main__":
    main()
