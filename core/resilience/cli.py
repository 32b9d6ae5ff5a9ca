"""`waystation breakers ...`: circuit breakers of the processes that run, seen and reset from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.cli import JsonFlag, command, make_app, show
from core.errors import NotFound
from core.resilience.status import ALL, ask_reset, breakers_folder, running
from core.settings import Places

app = make_app("breakers", "Circuit breakers of the running service: list, reset.")

Wanted = Annotated[str, typer.Argument(metavar="TARGET", help="KIND:NAME as `list` shows it, or all.")]


def _folder() -> Path:
    return breakers_folder(Places.from_environ())


@app.command("list")
@command
async def list_command(*, as_json: JsonFlag = False) -> None:
    """What each running process knows of its targets; one that never saw a breaker open knows none."""
    rows = [{"pid": pid, **target} for pid, targets in running(_folder()).items() for target in targets]
    columns = ("process", "target", "state", "since", "failed", "reason")
    table = [
        (
            row["pid"],
            f"{row['kind']}:{row['name']}",
            row["state"],
            row["since"],
            f"{row['failures']} of {row['calls']}",
            row["reason"],
        )
        for row in rows
    ]
    show(rows, as_json=as_json, table=columns, rows=table, empty="no breaker has opened")


@app.command("reset")
@command
async def reset_command(target: Wanted, *, as_json: JsonFlag = False) -> None:
    """Close a breaker by hand: the next call goes through, in every process."""
    folder = _folder()
    known = {f"{each['kind']}:{each['name']}" for found in running(folder).values() for each in found}
    if target not in {*known, ALL}:
        names = ", ".join(sorted(known)) or "none, as no breaker has opened"
        raise NotFound(f"no target '{target}' in a running process; known: {names}")
    ask_reset(folder, target)
    show({"reset": target}, as_json=as_json, text=f"reset {target}: the next call goes through")
