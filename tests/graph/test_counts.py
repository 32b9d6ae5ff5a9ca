"""What a turn costs in things that can be counted stays below these ceilings, see docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from bench.counts import Counts, counted
from bench.processes import HERE
from core.registry import discover
from waystation.testing.process import ServerProcess

# Of a turn with one tool call. What has to be raised here costs every turn of everybody.
SQLITE = {
    # Eight at once share most of their commits; alone, a turn has six, and one more of its events.
    "commits": 8,
    "syncs": 9,
    "statements": 150,
    "thread hops": 50,
    "tasks": 45,
    "orjson encodings": 52,
    "json encodings": 12,
    "msgpack encodings": 26,
    "decodings": 75,
    "log bytes": 300 * 1024,
    "process bytes": 400 * 1024,
}
POSTGRES = {
    "commits": 8,
    "transactions": 18,
    "statements": 100,
    "round trips": 30,
    "thread hops": 60,
    "tasks": 65,
    "orjson encodings": 56,
    "json encodings": 24,
    "msgpack encodings": 26,
    "decodings": 75,
    "log bytes": 55 * 1024,
}
# What a further step of a module under `nodes/` may add: it is visited before or behind each model call.
FURTHER = sum(not step.part for module in discover() for step in module.all_steps) / 10
TURNS = 24
# Counting makes writers hold SQLite's lock for longer: of more, some wait in vain on a busy machine.
AT_ONCE = 4


@pytest.fixture(scope="module")
def model() -> Iterator[ServerProcess]:
    with ServerProcess("bench.systems.model", path="/v1") as server:
        yield server


def above(found: Counts, ceilings: Mapping[str, int]) -> dict[str, float]:
    """What is more than it may be."""
    assert found["commits"] > 0, "whatever joins them, turns are stored"
    return {what: found[what] for what, most in ceilings.items() if found.get(what, 0) > most * (1 + FURTHER)}


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.always
def test_a_turn_on_sqlite_costs_no_more_than_it_may(model: ServerProcess, tmp_path: Path) -> None:
    found = counted(HERE, model.url, tmp_path / "turns", turns=TURNS, at_once=AT_ONCE)
    assert above(found, SQLITE) == {}


def test_a_turn_on_postgresql_costs_no_more_than_it_may(
    model: ServerProcess, tmp_path: Path, postgres_url: URL
) -> None:
    found = counted(HERE, model.url, tmp_path / "turns", turns=TURNS, at_once=AT_ONCE, postgres=postgres_url)
    assert above(found, POSTGRES) == {}
