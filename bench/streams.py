"""Five hundred streams that are open at once: what they cost, hold, and wait for."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from bench import fleet
from bench.fleet import System
from bench.load import Slice
from bench.report import Round, Row, median, ratio
from bench.rig import Bench
from bench.systems.model import REALISTIC
from waystation.testing.postgres import PostgresServer

OPEN = 512
WARM = 64
MB = 2**20


async def section(bench: Bench, stack: ExitStack) -> list[Row]:
    """Proxy, LangServe on the graph, and Waystation on both databases with one and two workers."""
    bench.pace(*REALISTIC)
    # Nobody raises a limit before the first crowd comes.
    bench.caps = {}
    server = stack.enter_context(PostgresServer())
    systems: list[System] = [
        stack.enter_context(fleet.proxy(bench.model.url, bench.room())),
        stack.enter_context(fleet.naive(bench.model.url, bench.room())),
        *bench.services(stack),
        *bench.service(stack, bench.checkouts[0], ", 2 workers", **two_workers()),
    ]
    for name, more in (("", {}), (", 2 workers", two_workers())):
        storage = fleet.stored_on(server)
        systems += bench.service(stack, bench.checkouts[0], f", PostgreSQL{name}", **storage, **more)
    rounds = await opened(bench, systems)
    return of_all(rounds) + [row for each in bench.checkouts for row in against_proxy(each.name, rounds)]


def two_workers() -> dict[str, str]:
    """The setting."""
    return {"WAYSTATION_SERVER__WORKERS": "2"}


async def opened(bench: Bench, systems: list[System]) -> list[Round]:
    """Rounds in which each system has all the streams at once.

    Raises:
        AssertionError: An answer was wrong.
    """
    for system in systems:
        await bench.slice(system, WARM, bench.turns(WARM))
    rounds: list[Round] = []
    for _ in range(max(bench.slices // 2, 1)):
        told: Round = {}
        for system in systems:
            count = bench.turns(OPEN)
            told[system.name] = await bench.slice(system, count, count)
        rounds.append(told)
    return rounds


def of_all(rounds: list[Round]) -> list[Row]:
    """A line for each system."""
    figures = (
        ("CPU a turn", "ms", Slice.cpu_ms),
        ("first token p50", "ms", Slice.first_ms),
        ("first token p99", "ms", partial(Slice.first_ms, percent=99)),
        ("whole turn p50", "ms", Slice.whole_ms),
        ("memory", "MB more", lambda part: part.grown / MB),
        ("refused", "turns", lambda part: part.refused.total()),
    )
    return [
        Row("streams", what, median(rounds, name, figure), unit, system=name)
        for name in rounds[0]
        for what, unit, figure in figures
    ]


def against_proxy(each: str, rounds: list[Round]) -> list[Row]:
    """CPU, first token and memory of one Waystation, on SQLite with one worker."""

    def row(what: str, value: float, target: float, unit: str = "x") -> Row:
        return Row("streams", f"{each}: {what}", value, unit, target if each == "now" else None)

    last = partial(Slice.first_ms, percent=99)
    # What was taken for the first round is kept for the others.
    grown = max(part[each].grown for part in rounds) / MB
    return [
        row("CPU against proxy", ratio(rounds, each, "proxy", Slice.cpu_ms), 3.0),
        row("first token p99 against proxy", ratio(rounds, each, "proxy", last), 1.5),
        row("memory of the tree", grown, 80.0, "MB more"),
        row("turns refused", max(part[each].refused.total() for part in rounds), 0.0, "turns"),
    ]
