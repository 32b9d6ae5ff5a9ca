"""docs/reference/cli.md: every command with its arguments and options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from docs.writers.markdown import code, document, table
from server.cli.main import app, mount_modules

PROGRAM = "waystation"


def page() -> str:
    """Commands in the order in which `--help` lists them."""
    parts = [_section(context) for context in commands()]
    return document(
        "Commands",
        "Exit code 0: done. 1: refused or failed, with one line `code: what is wrong` on stderr. "
        "2: wrong usage.",
        *parts,
    )


def commands() -> Iterator[typer.Context]:
    """A context for each command that does something; its `command_path` is what a person types."""
    mount_modules()
    root: Any = get_command(app)
    yield from _below(root, typer.Context(root, info_name=PROGRAM))


def _below(group: Any, context: typer.Context) -> Iterator[typer.Context]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        inner = typer.Context(command, info_name=name, parent=context)
        if hasattr(command, "commands"):
            yield from _below(command, inner)
        else:
            yield inner


def _section(context: typer.Context) -> str:
    command: Any = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    return "\n\n".join(
        [f"## {context.command_path}", command.help or "", f"```sh\n{usage}\n```", _parameters(context)]
    )


def _parameters(context: typer.Context) -> str:
    rows = []
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record and "--help" not in parameter.opts:
            rows.append((code(record[0].strip()), record[1].strip()))
    return table(("parameter", "meaning"), rows) if rows else "It takes no parameter."
