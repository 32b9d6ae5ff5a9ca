"""What a turn costs in things that can be counted: commits, syncs, statements, hops, tasks, encodings, bytes.

    python -m bench.counts [--turns 80] [--at-once 8] [--also PATH] [--database sqlite] [--realistic]

The turn of `bench.peers`, so many at once, in a process of the checkout; once on
SQLite and once on PostgreSQL. Nothing here depends on how fast the machine is,
but for what is joined because it happened at the same time. docs/benchmarks.md
says how each is counted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy.engine import URL

from bench.fleet import settings, write_config
from bench.processes import HERE, Checkout
from bench.systems.model import REALISTIC
from waystation.testing.postgres import PostgresServer
from waystation.testing.process import ServerProcess

LONGEST_SECONDS = 600.0
DATABASES = ("sqlite", "postgres")
# What a turn may take at most, eight at once.
WANTED: Mapping[str, Mapping[str, float]] = {
    "sqlite": {"commits": 5, "log bytes": 150 * 1024},
    "postgres": {"commits": 5, "round trips": 12},
}

Counts = Mapping[str, float]


def counted(
    checkout: Checkout,
    model: str,
    folder: Path,
    *,
    turns: int = 80,
    at_once: int = 8,
    postgres: URL | None = None,
) -> Counts:
    """The counts of one turn, by their names.

    Args:
        folder: A new one, for what the turns store.
        postgres: An empty database; without one they are stored in SQLite.

    Raises:
        RuntimeError: The turns failed; with the end of what was said.
    """
    folder.mkdir()
    write_config(folder)
    words = ["--turns", str(turns), "--at-once", str(at_once)]
    if postgres:
        words += ["--postgres", str(postgres.port), str(postgres.database), str(postgres.username)]
    done = subprocess.run(
        [checkout.python, *checkout.words("bench.systems.counted"), *words],
        cwd=checkout.root,
        env=checkout.environment(settings(model, folder)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the turns failed ({done.returncode}):\n{done.stderr[-4000:]}")
    found: Counts = json.loads(done.stdout.splitlines()[-1])
    return found


def show(database: str, found: Mapping[str, Counts]) -> None:
    """A line for each count, a column for each checkout."""
    print(f"\n{database + ', a turn':<26}" + "".join(f"{name:>12}" for name in found))
    for what in sorted({what for counts in found.values() for what in counts}):
        values = ((counts.get(what, 0.0), what.endswith("bytes")) for counts in found.values())
        told = (f"{value / 1024:>9.1f} KB" if size else f"{value:>12.1f}" for value, size in values)
        print(f"  {what:<24}" + "".join(told) + wanted(database, what, found), flush=True)


def wanted(database: str, what: str, found: Mapping[str, Counts]) -> str:
    """What is asked of a count, and whether this checkout meets it; "" where nothing is."""
    most = WANTED[database].get(what)
    if most is None:
        return ""
    shown = f"{most / 1024:g} KB" if what.endswith("bytes") else f"{most:g}"
    return f"   <= {shown}  {'met' if found[HERE.name].get(what, 0.0) <= most else 'MISSED'}"


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--turns", type=int, default=80, help="turns that are counted")
    parser.add_argument("--at-once", type=int, default=8, help="turns at a time")
    parser.add_argument("--also", type=Path, help="another checkout, with its own .venv")
    parser.add_argument("--database", choices=DATABASES, help="only this one")
    parser.add_argument("--realistic", action="store_true", help="a model that takes its time")
    given = parser.parse_args(words)
    checkouts = (HERE, *((Checkout("before", given.also.resolve()),) if given.also else ()))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = stack.enter_context(ServerProcess("bench.systems.model", path="/v1"))
        if given.realistic:
            model.ask("POST", "/control", dict(zip(("first", "token"), REALISTIC, strict=True)))
        for database in [given.database] if given.database else DATABASES:
            server = stack.enter_context(PostgresServer()) if database == "postgres" else None
            found = {}
            for checkout in checkouts:
                found[checkout.name] = counted(
                    checkout,
                    model.url,
                    folder / f"{database}-{checkout.name}",
                    turns=given.turns,
                    at_once=given.at_once,
                    postgres=server.create_database(empty=True) if server else None,
                )
            show(database, found)


if __name__ == "__main__":
    main()
