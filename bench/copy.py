"""A large database, made by code, copied to the other kind and back: turns a second, and memory.

    python -m bench.copy [--threads 5000] [--turns 20] [--url postgresql://USER@HOST/EMPTY] [--to-sqlite]
                         [--beside CHECKOUT] [--rounds 3]

One thread has its turns by the agent itself, with a model that answers at once; every other thread is that
one under another id, in all tables. Without `--url` a PostgreSQL of the test kit is started. The time is
that of the whole command: migration, copy, and the comparison of both sides. With `--beside` a checkout
of other code copies the same database too, in turns with this one, and the ratio is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from bench.processes import HERE as THIS
from bench.report import Row
from nodes.llm.fake import ScriptedModel
from waystation.testing.agents import open_agent
from waystation.testing.container import Fakes
from waystation.testing.postgres import PostgresServer

KB = " ".join(["w" * 63] * 16)
FIRST = "t00000"
# What names the thread or what belongs to it; such a value is told apart by the number of its copy.
NAMES = ("thread_id", "run_id", "message_id", "idempotency_key", "id")
HERE = THIS.root
WANTED = 1000
COPIED = ("threads", "transcript", "runs", "run_events", "checkpoints", "writes")


async def first_thread(folder: Path, turns: int) -> Path:
    """The database of a service with one thread of so many turns."""
    async with open_agent(folder, providers=[Fakes(model=ScriptedModel(KB))]) as agent:
        for number in range(turns):
            await agent.ask(f"{number} {KB}", thread=FIRST, user="ada")
    return folder / "home" / "waystation.db"


def multiply(path: Path, threads: int) -> None:
    """So many threads, each the first one again."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=OFF")
        db.execute("PRAGMA journal_mode=WAL")
        statements = [_again(db, table) for table in COPIED]
        db.execute("BEGIN")
        for number in range(1, threads):
            for statement in statements:
                db.execute(statement, {"first": FIRST, "n": f"{number:05}"})
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _again(db: sqlite3.Connection, table: str) -> str:
    columns = [str(row[1]) for row in db.execute(f"PRAGMA table_info({table})")]
    columns = [name for name in columns if not (table == "transcript" and name == "seq")]
    values = [_value(name) for name in columns]
    here = "id" if table == "threads" else "thread_id"
    names = ", ".join(f'"{name}"' for name in columns)
    return f'INSERT INTO {table} ({names}) SELECT {", ".join(values)} FROM {table} WHERE "{here}" = :first'  # noqa: S608


def _value(column: str) -> str:
    if column not in NAMES:
        return f'"{column}"'
    # The first letters of an id stay, so that it keeps its length.
    return f"""substr("{column}", 1, length("{column}") - 5) || :n"""


def copied(source: str, target: str, turns: int, code: Path = HERE) -> float:
    """One copy by a command of the code in that folder; turns a second."""
    began, before = time.monotonic(), _cpu()
    command = (sys.executable, "-m", "waystation", "db", "copy", source, target)
    where = {**os.environ, "PYTHONPATH": str(code)}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=code, env=where)
    took, cpu = time.monotonic() - began, _cpu() - before
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    kinds = " to ".join(url.partition(":")[0] for url in (source, target))
    print(
        f"{kinds}: {turns} turns in {took:.1f} s, {turns / took:.0f} a second, {turns / cpu:.0f} a second of"
        f" the command's CPU, {most:.0f} MB in one process at most",
        flush=True,
    )
    return turns / took


def beside(server: PostgresServer, source: str, turns: int, other: Path, rounds: int) -> Row:
    """Copies by this code and by that of another checkout, in turns: what disturbs one disturbs both."""
    found = []
    for _ in range(rounds):
        speeds = []
        for code in (other, HERE):
            url = server.create_database(empty=True)
            plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
            speeds.append(copied(source, plain, turns, code))
            server.drop_database(url)
        found.append(speeds[1] / speeds[0])
    return Row("copy", "turns a second, to those of the other checkout", statistics.median(found))


def _cpu() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def main() -> None:
    """Make, copy, tell."""
    parser = argparse.ArgumentParser(prog="python -m bench.copy", description="Copying a database.")
    parser.add_argument("--threads", type=int, default=5000)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--url", default="")
    parser.add_argument("--to-sqlite", action="store_true", help="Copy it back too.")
    parser.add_argument("--beside", type=Path, help="Another checkout, whose code copies too.")
    parser.add_argument("--rounds", type=int, default=3, help="Of both, with --beside.")
    options = parser.parse_args()
    turns = options.threads * options.turns
    with tempfile.TemporaryDirectory() as place, PostgresServer() as server:
        path = asyncio.run(first_thread(Path(place), options.turns))
        multiply(path, options.threads)
        print(f"{options.threads} threads, {turns} turns, {path.stat().st_size / 1e6:.0f} MB")
        if options.beside:
            print(
                beside(server, f"sqlite:///{path}", turns, options.beside.absolute(), options.rounds).line()
            )
            return
        server.execute("CREATE DATABASE copied")
        url = options.url or server.url("copied").set(drivername="postgresql").render_as_string()
        speed = copied(f"sqlite:///{path}", url, turns)
        print(Row("copy", "turns a second", speed, "1/s", WANTED, least=True).line())
        if options.to_sqlite:
            copied(url, f"sqlite:///{path.with_name('back.db')}", turns)


if __name__ == "__main__":
    main()
