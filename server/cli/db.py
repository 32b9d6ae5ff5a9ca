"""`waystation db`: the database as a whole."""

# ruff: noqa: PLC0415 - slow imports stay inside the commands, as in server.cli
from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from core.cli import JsonFlag, command, make_app, progress_bar, show, stop_message

db = make_app("db")


@db.command("copy")
@command
async def copy_command(
    source: Annotated[str, typer.Argument(help="sqlite:///PATH or postgresql://USER@HOST/NAME.")],
    target: Annotated[str, typer.Argument(help="The same, of an empty database; a file is made.")],
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for threads in flight, and for the service to stop.")
    ] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Begin anew where a copy into the target has not ended."),
    ] = False,
    running: Annotated[
        bool,
        typer.Option(
            "--running", help="Copy although a service runs on the source; later turns are missing."
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Copy a whole database into an empty one of either kind, and compare both.

    Stop the service before. What was killed goes on with the same command, and no service starts on the
    target before the copy is whole.
    """
    from core.settings import Places
    from graph.moving.database import copy_database, given_url

    places = Places.from_environ()
    urls = given_url(source, "source", places), given_url(target, "target", places)
    reached = Reached()
    with stop_message(reached.said), progress_bar("rows") as bar:

        def told(done: int, total: int, name: str) -> None:
            reached.done, reached.total, reached.name = done, total, name
            bar(done, total, name)

        copied = await copy_database(
            *urls, again=again, wait=wait, running=running, told=told, waiting=_say_waiting
        )
    found = copied.as_json()
    rows = [[name, tally["rows"], tally["sum"]] for name, tally in found["tables"].items()]
    show(found, as_json=as_json, table=("table", "rows", "sum"), rows=rows)
    if not as_json:
        print(f"{found['rows']} rows copied, and compared with the source: the same")
        if running:
            print("turns that began behind the copy are not in it: another one needs an empty target")
        print("next: set storage.url to the target, and start the service")


@dataclass(slots=True)
class Reached:
    """How far a copy has come."""

    done: int = 0
    total: int = 1
    name: str = ""

    def said(self) -> str:
        if not self.done:
            return "nothing was copied yet; the same command begins with it"
        return (
            f"at {100 * self.done // self.total} % ({self.name}); what was copied stays, and the same command"
            " goes on there"
        )


def _say_waiting(threads: list[str]) -> None:
    what = f"{len(threads)} threads in flight: {', '.join(threads[:5])}" if threads else "the service to stop"
    print(f"waiting for {what}", file=sys.stderr)
