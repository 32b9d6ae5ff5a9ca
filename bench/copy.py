"""A large database, made by code, copied to the other kind and back: turns a second, and memory.

    python -m bench.copy [--threads 5000] [--turns 20] [--url postgresql://USER@HOST/EMPTY] [--to-sqlite]

One thread has its turns by the agent itself, with a model that answers at once; every other thread is that
one under another id, in all tables. Without `--url` a PostgreSQL of the test kit is started. The time is
that of the whole command: migration, copy, and the comparison of both sides.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from nodes.llm.fake import ScriptedModel
from waystation.testing.agents import open_agent
from waystation.testing.container import Fakes
from waystation.testing.postgres import PostgresServer

KB = " ".join(["w" * 63] * 16)
FIRST = "t00000"
# What names the thread or what belongs to it; such a value is told apart by the number of its copy.
NAMES = ("thread_id", "run_id", "message_id", "idempotency_key", "id")
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


@contextmanager
def empty_database(url: str) -> Iterator[str]:
    if url:
        yield url
        return
    with PostgresServer() as server:
        server.execute("CREATE DATABASE copied")
        yield server.url("copied").set(drivername="postgresql").render_as_string()


def copied(source: str, target: str, turns: int) -> None:
    """One copy in a process of its own."""
    began = time.monotonic()
    command = (sys.executable, "-m", "waystation", "db", "copy", source, target)
    subprocess.run(command, check=True)
    took = time.monotonic() - began
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    kinds = " to ".join(url.partition(":")[0] for url in (source, target))
    print(f"{kinds}: {turns} turns in {took:.1f} s, {turns / took:.0f} a second, {most:.0f} MB at most")


def main() -> None:
    """Make, copy, tell."""
    parser = argparse.ArgumentParser(prog="python -m bench.copy", description="Copying a database.")
    parser.add_argument("--threads", type=int, default=5000)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--url", default="")
    parser.add_argument("--to-sqlite", action="store_true", help="Copy it back too.")
    options = parser.parse_args()
    turns = options.threads * options.turns
    with tempfile.TemporaryDirectory() as place, empty_database(options.url) as url:
        path = asyncio.run(first_thread(Path(place), options.turns))
        multiply(path, options.threads)
        print(f"{options.threads} threads, {turns} turns, {path.stat().st_size / 1e6:.0f} MB")
        copied(f"sqlite:///{path}", url, turns)
        if options.to_sqlite:
            copied(url, f"sqlite:///{path.with_name('back.db')}", turns)


if __name__ == "__main__":
    main()
