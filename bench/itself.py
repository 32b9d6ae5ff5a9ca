"""Waystation against itself: the other database, more workers, telemetry, long threads, and tool calls."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
from contextlib import ExitStack
from pathlib import Path

from bench import fleet
from bench.load import Slice
from bench.processes import Checkout
from bench.report import Round, Row, of_each, ratio
from bench.rig import Bench
from waystation.testing.postgres import PostgresServer

CLIENTS, TURNS = 8, 40
LONG, SHORT, STEP = 500, 10, 10
CALLS = 300
CALLS_SECONDS = 300.0


def held(section: str, each: str, what: str, value: float, target: float, *, least: bool = False) -> Row:
    """A figure of a checkout; only this one has targets."""
    return Row(section, f"{each}: {what}", value, target=target if each == "now" else None, least=least)


async def postgres(bench: Bench, stack: ExitStack) -> list[Row]:
    """The same turns on both databases; the server's own CPU is told apart."""
    server = stack.enter_context(PostgresServer())
    systems = bench.services(stack)
    for checkout in bench.checkouts:
        systems += bench.service(stack, checkout, ", PostgreSQL", **fleet.stored_on(server))
    rounds = await bench.rounds(systems, CLIENTS, bench.turns(TURNS), storage=server.pid)
    rows = of_each("postgres", rounds)
    for each in bench.checkouts:
        other = f"{each.name}, PostgreSQL"
        stored = statistics.median(part[other].stored_ms() for part in rounds)
        rows.append(Row("postgres", "PostgreSQL's own CPU", stored, "ms", system=other))
        value = ratio(rounds, other, each.name, Slice.cpu_ms)
        rows.append(held("postgres", each.name, "CPU on PostgreSQL against SQLite", value, 1.1))
    return rows


async def workers(bench: Bench, stack: ExitStack) -> list[Row]:
    """Two processes against one, with more turns than one can do."""
    systems = bench.services(stack)
    systems += bench.services(stack, ", 2 workers", WAYSTATION_SERVER__WORKERS="2")
    rounds = await bench.rounds(systems, 32, bench.turns(96))
    rows = of_each("workers", rounds)
    for each in bench.checkouts:
        value = ratio(rounds, f"{each.name}, 2 workers", each.name, Slice.rate)
        rows.append(held("workers", each.name, "turns a second of two against one", value, 1.7, least=True))
    rows.append(Row("workers", "cores of this machine, which all of it shares", os.cpu_count() or 0, ""))
    return rows


async def telemetry(bench: Bench, stack: ExitStack) -> list[Row]:
    """Spans and metrics sent to a collector, against none."""
    systems = bench.services(stack)
    # The endpoint takes whatever is posted, so it is the collector too.
    collector = bench.model.url.removesuffix("/v1")
    systems += bench.services(stack, ", telemetry", WAYSTATION_TELEMETRY__OTLP_ENDPOINT=collector)
    rounds = await bench.rounds(systems, CLIENTS, bench.turns(TURNS))
    rows = of_each("telemetry", rounds)
    for each in bench.checkouts:
        value = ratio(rounds, f"{each.name}, telemetry", each.name, Slice.cpu_ms)
        rows.append(held("telemetry", each.name, "CPU with telemetry against without", value, 1.1))
    return rows


async def turns(bench: Bench, stack: ExitStack) -> list[Row]:
    """Turns of a long thread against those of young ones, one at a time: CPU, and bytes written."""
    systems = bench.services(stack)
    long = bench.turns(LONG)
    for system in systems:
        await bench.slice(system, 1, long - STEP // 2, "long")
    rounds: list[Round] = []
    for _ in range(bench.slices):
        told: Round = {}
        for system in systems:
            young = bench.label()
            await bench.slice(system, 1, SHORT - STEP // 2, young)
            told[f"{system.name}, turn {SHORT}"] = await bench.slice(system, 1, STEP, young)
            told[f"{system.name}, turn {long}"] = await bench.slice(system, 1, STEP, "long")
        rounds.append(told)
    rows = of_each("turns", rounds)
    for each in bench.checkouts:
        for what, figure in (("CPU", Slice.cpu_ms), ("bytes written", Slice.written_kb)):
            value = ratio(rounds, f"{each.name}, turn {long}", f"{each.name}, turn {SHORT}", figure)
            rows.append(held("turns", each.name, f"{what} of turn {long} against turn {SHORT}", value, 1.1))
    return rows


async def tools(bench: Bench, stack: ExitStack) -> list[Row]:
    """A tool call through the executor against one of a bare session, in sequence."""
    rows: list[Row] = []
    for checkout in bench.checkouts:
        found = await asyncio.to_thread(calls, checkout, bench)
        for index, what in enumerate(("CPU of a call", "whole call")):
            ways = {way: [part[way][index] for part in found] for way in found[0]}
            rows += [
                Row("tools", what, statistics.median(values), "us", system=f"{checkout.name}, {way}")
                for way, values in ways.items()
            ]
            value = statistics.median(part["executor"][index] / part["session"][index] for part in found)
            rows.append(held("tools", checkout.name, f"{what}, executor against session", value, 1.5))
    return rows


def calls(checkout: Checkout, bench: Bench) -> list[dict[str, list[float]]]:
    """Rounds of calls in a process of a checkout: CPU and whole microseconds, by way.

    Raises:
        RuntimeError: A call failed; with the end of what was said.
    """
    folder: Path = bench.room()
    fleet.write_config(folder)
    asked = ["--rounds", str(bench.slices), "--calls", str(bench.turns(CALLS))]
    done = subprocess.run(
        [checkout.python, *checkout.words("bench.systems.executor"), *asked],
        cwd=checkout.root,
        env=checkout.environment(fleet.settings(bench.model.url, folder)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=CALLS_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the calls failed ({done.returncode}):\n{done.stderr[-3000:]}")
    found: list[dict[str, list[float]]] = json.loads(done.stdout.splitlines()[-1])
    return found
