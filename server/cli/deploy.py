"""`waystation deploy`: would the threads of the release that runs go on under this one?"""

# ruff: noqa: PLC0415 - slow imports stay inside the commands, as in server.cli
from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from core.cli import JsonFlag, command, make_app, print_fields, print_table, progress_bar, show

deploy = make_app("deploy")

LIMIT = 200
WORTH_SAYING = ("breaks", "kept", "mapped")


@deploy.command("check")
@command
async def check_command(
    *,
    limit: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Finished threads to look at, the last used first.")
    ] = LIMIT,
    every: Annotated[bool, typer.Option("--all", help="Every thread, however old.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Load live, waiting and recent threads against this release's graph; exit 1 if one would break.

    Run it from the new release, with the configuration of the running service: it
    opens that database for reading only, migrates nothing and starts no module.
    """
    report = await checked(idle=None if every else limit)
    show(report, as_json=as_json, people=lambda: _show(report))
    if report["breaks"]:
        raise typer.Exit(1)


async def checked(*, idle: int | None) -> dict[str, Any]:
    """The report on every live and waiting thread, and on the `idle` last used others (None: all)."""
    from graph.deploy.report import report

    url, graph = _configured()
    with progress_bar("threads") as told:
        return await report(url, graph, idle=idle, told=told)


def _configured() -> tuple[Any, Any]:
    """The database and the graph of this process's configuration."""
    from core import lifecycle
    from core.database.engine import database_url
    from core.registry import discover
    from core.settings import Context, read_book
    from core.settings.platform import MODULES, SECTIONS, ModulesSettings, StorageSettings
    from graph.deploy.check import present_graph

    context = Context.current()
    book = read_book((*SECTIONS, MODULES), (), context, partial=True)
    found = lifecycle.module_states(discover(), book[ModulesSettings])
    return database_url(book[StorageSettings], context.places), present_graph(lifecycle.running(found))


def _show(report: dict[str, Any]) -> None:
    threads = report["threads"]
    rows = [
        [one["thread_id"], one["status"], one["fingerprint"], ", ".join(one["next"]), _said(one)]
        for one in threads
        if any(one[name] for name in WORTH_SAYING)
    ]
    columns = ("thread", "status", "fingerprint", "next", "what of it")
    print_table(columns, rows, empty="no thread needs a word")
    counts = {
        kind: sum(one["fingerprint"] == kind for one in threads) for kind in ("same", "different", "none")
    }
    print_fields(
        {
            "fingerprint": report["fingerprint"],
            "checked": f"{report['checked']} ({', '.join(f'{n} {kind}' for kind, n in counts.items() if n)})",
            "left out": f"{report['left_out']} finished threads; --all looks at them too",
            "would break": report["breaks"],
        }
    )
    if report["note"]:
        print(report["note"], file=sys.stderr)


def _said(one: dict[str, Any]) -> str:
    parts = list(one["breaks"])
    if one["kept"]:
        parts.append(f"kept: {', '.join(one['kept'])}")
    if one["mapped"]:
        parts.append(f"renamed: {', '.join(one['mapped'])}")
    return "; ".join(parts)
