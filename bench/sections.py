"""Waystation against what people would build without it, and the targets of these figures."""

from __future__ import annotations

from contextlib import ExitStack

from bench import fleet, streams
from bench import itself as of_itself
from bench.fleet import System
from bench.load import Slice
from bench.report import Round, Row, of_each, ratio
from bench.rig import REALISTIC, Bench, Section

# Turns at a time, turns of a slice.
SIZES = {"c1": (1, 12), "c8": (8, 40), "c32": (32, 96), "real32": (32, 64)}
# Two model calls of 200 ms to the first token, and 49 tokens more.
IDEAL_MS = 1380.0
NAIVE = "naive LangServe"


def at_once(name: str) -> Section:
    """All systems, with a model that answers at once."""

    async def section(bench: Bench, stack: ExitStack) -> list[Row]:
        systems: list[System] = [
            stack.enter_context(fleet.proxy(bench.model.url, bench.room())),
            stack.enter_context(fleet.bare(bench.model.url, bench.room())),
            stack.enter_context(fleet.naive(bench.model.url, bench.room())),
            *bench.services(stack, "", "stream", "invoke", "runs"),
        ]
        clients, turns = SIZES[name]
        rounds = await bench.rounds(systems, clients, bench.turns(turns))
        return of_each(name, rounds) + against_peers(name, rounds)

    return section


def against_peers(name: str, rounds: list[Round]) -> list[Row]:
    """CPU and turns a second of `/agent/stream`, against each peer."""
    rate = ratio(rounds, "now", NAIVE, Slice.rate)
    asked = 2.5 if name == "c32" else None
    rows = [Row(name, f"turns a second against {NAIVE}", rate, target=asked, least=True)]
    for other, target in (("proxy", None), ("bare graph", 0.8), (NAIVE, 0.4), ("before", None)):
        if other in rounds[0]:
            value = ratio(rounds, "now", other, Slice.cpu_ms)
            rows.append(Row(name, f"CPU against {other}", value, target=target))
    return rows


async def real32(bench: Bench, stack: ExitStack) -> list[Row]:
    """Turns with a model that takes its time."""
    bench.pace(*REALISTIC)
    systems: list[System] = [
        stack.enter_context(fleet.proxy(bench.model.url, bench.room())),
        stack.enter_context(fleet.naive(bench.model.url, bench.room())),
        *bench.services(stack),
    ]
    clients, turns = SIZES["real32"]
    rounds = await bench.rounds(systems, clients, bench.turns(turns))
    rows = of_each("real32", rounds)
    for each in bench.checkouts:
        rows += against_floor(each.name, rounds)
    return rows


def against_floor(each: str, rounds: list[Round]) -> list[Row]:
    """CPU and times of one Waystation against the proxy and what the model alone takes."""

    def row(what: str, value: float, target: float) -> Row:
        return Row("real32", f"{each}: {what}", value, target=target if each == "now" else None)

    return [
        row("CPU against proxy", ratio(rounds, each, "proxy", Slice.cpu_ms), 3.0),
        row("first token p50 against proxy", ratio(rounds, each, "proxy", Slice.first_ms), 1.3),
        row(
            "whole turn p50 against ideal",
            ratio(rounds, each, each, Slice.whole_ms, lambda _: IDEAL_MS),
            1.15,
        ),
    ]


SECTIONS: dict[str, Section] = {
    "c1": at_once("c1"),
    "c8": at_once("c8"),
    "c32": at_once("c32"),
    "real32": real32,
    "streams": streams.section,
    "postgres": of_itself.postgres,
    "workers": of_itself.workers,
    "tools": of_itself.tools,
    "telemetry": of_itself.telemetry,
    "turns": of_itself.turns,
}
