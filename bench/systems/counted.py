"""Turns in this process, with everything counted that does not depend on how fast the machine is.

Run by `bench.counts` with the Python of a checkout: prints one line of JSON with
the counts of a turn. What is counted is wrapped before anything of the checkout
is imported, so that names that it takes from a library are the wrapped ones.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import Context
from pathlib import Path
from typing import Any

import orjson
import ormsgpack

from bench.systems.model import ANSWER
from bench.systems.vfs import CountingVfs
from bench.systems.wire import Relay

QUESTION = "What is 19 + 23?"
WARM = 2  # turns of each thread before it is counted


class Loop(asyncio.SelectorEventLoop):
    """Counts the tasks that are made, and the ways back from threads."""

    counts: Counter[str]

    def create_task(self, *given: Any, **named: Any) -> Any:
        self.counts["tasks"] += 1
        return super().create_task(*given, **named)

    def call_soon_threadsafe(  # type: ignore[override]  # what it is given is passed on as it is
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        self.counts["thread hops"] += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


def wrap(owner: Any, name: str, counts: Counter[str], what: str) -> None:
    """Have calls of a function counted."""
    function: Callable[..., Any] = getattr(owner, name)

    def counted(*given: Any, **named: Any) -> Any:
        counts[what] += 1
        return function(*given, **named)

    setattr(owner, name, counted)


def watch_encodings(counts: Counter[str]) -> None:
    wrap(orjson, "dumps", counts, "orjson encodings")
    wrap(orjson, "loads", counts, "decodings")
    wrap(json, "dumps", counts, "json encodings")
    wrap(json, "loads", counts, "decodings")
    wrap(ormsgpack, "packb", counts, "msgpack encodings")


def watch_sqlite(counts: Counter[str]) -> None:
    """Statements by the trace of each connection, the rest below SQLite."""
    CountingVfs(counts).install()
    connect = sqlite3.connect

    def traced(*given: Any, **named: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*given, **named)
        connection.set_trace_callback(count)
        return connection

    def count(_: str) -> None:
        counts["statements"] += 1

    for module in (sqlite3, sqlite3.dbapi2):
        module.connect = traced  # type: ignore[attr-defined]  # what libraries look up


def written_by_process() -> int:
    """Bytes that this process has given to write calls: files and pipes, no sockets."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


class Server:
    """What PostgreSQL says of itself."""

    def __init__(self, port: int, database: str, user: str) -> None:
        import psycopg  # noqa: PLC0415 - only where there is one

        self._connection = psycopg.connect(
            host="127.0.0.1", port=port, dbname=database, user=user, autocommit=True
        )

    def totals(self) -> Mapping[str, int]:
        """Bytes of its log so far, and the transactions that were numbered because they wrote."""
        row = self._connection.execute(
            "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0'), "
            "pg_snapshot_xmax(pg_current_snapshot())::text"
        ).fetchone()
        assert row
        return {"log bytes": int(row[0]), "numbered transactions": int(row[1])}


async def turns(agent: Any, number: int, count: int) -> None:
    """Turns of one thread, each held against what must come."""
    for _ in range(count):
        async for event in agent.stream(QUESTION, thread=f"c{number}"):
            last = event
        assert last.get("answer") == ANSWER, last


async def count_turns(given: argparse.Namespace, counts: Counter[str], server: Server | None) -> None:
    """Fill `counts` with those of all turns."""
    from graph import Agent  # noqa: PLC0415 - of the checkout, and wrapped first

    def totals() -> Counter[str]:
        return Counter({"process bytes": written_by_process(), **(server.totals() if server else {})})

    async with Agent.open() as agent:
        await asyncio.gather(*(turns(agent, number, WARM) for number in range(given.at_once)))
        counts.clear()
        before = totals()
        await asyncio.gather(
            *(turns(agent, number, given.turns // given.at_once) for number in range(given.at_once))
        )
        # What was handed over behind the last answers belongs to them.
        await asyncio.sleep(0.2)
        found = Counter(counts)
        found.update({name: value - before[name] for name, value in totals().items()})
    counts.clear()
    counts.update(found)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, required=True)
    parser.add_argument("--at-once", type=int, required=True)
    parser.add_argument("--postgres", nargs=3, metavar=("PORT", "DATABASE", "USER"))
    given = parser.parse_args(words)
    counts: Counter[str] = Counter()
    Loop.counts = counts
    watch_encodings(counts)
    server = None
    if given.postgres:
        port, database, user = given.postgres
        server = Server(int(port), database, user)
        relay = Relay(int(port), counts)
        relay.start()
        os.environ["WAYSTATION_STORAGE__URL"] = f"postgresql://{user}@127.0.0.1:{relay.port}/{database}"
    else:
        watch_sqlite(counts)
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(count_turns(given, counts, server))
    made = given.turns // given.at_once * given.at_once
    print(json.dumps({name: value / made for name, value in sorted(counts.items())}))
