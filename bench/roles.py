"""Handing turns over to workers, against one process that does all: CPU, the first token, and throughput.

    python -m bench.roles [--turns 200] [--rounds 3] [--workers 1,2,4] [--first 12] [--beside CHECKOUT]

All on one PostgreSQL, each process with a home of its own, and the model of the yardstick: a tool call, then
fifty tokens. Rounds of the systems are interleaved, the first is thrown away, and medians are shown. CPU per
turn is that of all processes of the service, and PostgreSQL's stands beside it. The first token is measured
one turn at a time, with a model that takes its time.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.fleet import SETTLE_SECONDS, ask_stream, said_in_events, waystation
from bench.load import Slice, load
from bench.processes import HERE, Checkout, cpu_of
from bench.systems.model import ANSWER, REALISTIC
from waystation.testing.postgres import PostgresServer
from waystation.testing.process import ServerProcess

AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Deployment:
    """Processes of one service, and the port that answers."""

    name: str
    pids: Sequence[int]
    port: int

    def cpu(self) -> float:
        return sum(map(cpu_of, self.pids))


def deployed(
    stack: ExitStack, folder: Path, model: str, server: PostgresServer, workers: int, *, code: Checkout = HERE
) -> Deployment:
    """A service on a database of its own: one process for no worker, else one that answers and so many."""
    url = server.create_database().set(drivername="postgresql").render_as_string(hide_password=False)
    roles = ["api", *["worker"] * workers] if workers else ["all"]
    found: list[tuple[int, int]] = []
    for number, role in enumerate(roles):
        env = {"WAYSTATION_STORAGE__URL": url, "WAYSTATION_SERVER__ROLE": role}
        made = waystation(code, model, folder / f"{code.name}-{workers}-{number}", env)
        found.append(stack.enter_context(made))
    name = f"api + {workers} worker{'s' if workers > 1 else ''}" if workers else "one process"
    if code is not HERE:
        name = f"{code.name}: {name}"
    return Deployment(name, [pid for pid, _ in found], found[0][1])


async def sliced(each: Deployment, at_once: int, turns: int, label: str, storage: int) -> Slice:
    """Some turns of a deployment; every answer is held against what must come."""
    cpu, stored, begun = each.cpu(), cpu_of(storage), time.perf_counter()
    found = await load(each.port, ask_stream, said_in_events, at_once=at_once, turns=turns, label=label)
    seconds = time.perf_counter() - begun
    await asyncio.sleep(SETTLE_SECONDS)
    wrong = [turn.said or turn.refusal for turn in found if turn.said != ANSWER]
    assert not wrong, wrong[:3]
    return Slice(found, each.cpu() - cpu, cpu_of(storage) - stored, seconds)


async def compared(
    systems: Sequence[Deployment], at_once: int, turns: int, *, rounds: int, storage: int, label: str
) -> list[list[Slice]]:
    """Slices of each system, by rounds."""
    found: list[list[Slice]] = [[] for _ in systems]
    for lap in range(rounds + 1):
        for place, each in enumerate(systems):
            one = await sliced(each, at_once, turns, f"{label}{lap}s{place}c", storage)
            told = f"round {lap} of {rounds}, {at_once} at once, {each.name}: {one.seconds:.0f} s"
            print(told, file=sys.stderr, flush=True)
            if lap:
                found[place].append(one)
    return found


def table(systems: Sequence[Deployment], busy: list[list[Slice]], slow: list[list[Slice]]) -> list[str]:
    """What is printed: each system, and its ratio to the first."""

    def middle(of: list[Slice], what: str) -> float:
        return float(statistics.median(getattr(each, what)() for each in of))

    lines = [f"{'':<24} {'CPU a turn':>18} {'PostgreSQL':>12} {'turns/s':>16} {'first token':>22}"]
    for each, taken, patient in zip(systems, busy, slow, strict=True):
        ratio = statistics.median(
            one.cpu_ms() / base.cpu_ms() for one, base in zip(taken, busy[0], strict=True)
        )
        cpu, rate = middle(taken, "cpu_ms"), middle(taken, "rate")
        first = middle(patient, "first_ms")
        lines.append(
            f"{each.name:<24} {cpu:9.2f} ms {ratio:5.2f}x {middle(taken, 'stored_ms'):9.2f} ms"
            f" {rate:8.1f} {rate / middle(busy[0], 'rate'):6.2f}x"
            f" {first:9.1f} ms {first - middle(slow[0], 'first_ms'):+7.1f} ms"
        )
    return lines


async def measured(
    turns: int, rounds: int, workers: Sequence[int], folder: Path, beside: Path | None, *, first: int
) -> list[str]:
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer(settings={"max_connections": "400"}))
        model = stack.enter_context(ServerProcess("bench.systems.model", path="/v1"))
        systems = [deployed(stack, folder, model.url, server, count) for count in (0, *workers)]
        if beside is not None:
            other = Checkout("beside", beside)
            systems += [deployed(stack, folder, model.url, server, count, code=other) for count in workers]
        busy = await compared(systems, AT_ONCE, turns, rounds=rounds, storage=server.pid, label="b")
        model.ask("POST", "/control", {"first": REALISTIC[0], "token": REALISTIC[1]})
        slow = await compared(systems, 1, first, rounds=rounds, storage=server.pid, label="f")
        return table(systems, busy, slow)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--turns", type=int, default=200, help="turns of a slice")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", default="1,2,4", help="numbers of workers")
    parser.add_argument("--first", type=int, default=12, help="turns one by one, for the first token")
    parser.add_argument("--beside", type=Path, help="another checkout, whose workers are measured too")
    given = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        counts = [int(word) for word in given.workers.split(",")]
        beside = given.beside and given.beside.absolute()
        lines = asyncio.run(
            measured(given.turns, given.rounds, counts, Path(folder), beside, first=given.first)
        )
    print("\n".join(lines))
    print(f"medians of {given.rounds} rounds of {given.turns} turns, {AT_ONCE} at once;", end=" ")
    print(f"first token: of {given.first} turns one by one; took {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
