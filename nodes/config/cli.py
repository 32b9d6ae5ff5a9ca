"""`python -m nodes.config.cli`, also `waystation config`: is the configuration right, what does it say."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli import JsonFlag, cell, command, make_app, print_json, print_table, show
from core.settings import ConfigProblem, Context
from nodes.config.errors import SchemaNotWritten
from nodes.config.manager import ConfigManager
from nodes.config.survey import ReloadCheck, reload_check, survey

app = make_app("config", "The configuration: check it, show it, describe it.")

PartArgument = Annotated[
    str, typer.Argument(metavar="[PART]", help="A section or kind of file; default: all.")
]


@app.command()
@command
async def validate(as_json: JsonFlag = False) -> None:
    """Check every file and variable, and name every problem with its file, line and key."""
    found = survey(Context.current(), review=True)
    files = [asdict(report) for report in found.manager.describe()]
    problems = [asdict(problem) for problem in found.problems]
    value = {"valid": not problems, "problems": problems, "files": files}
    show(value, as_json=as_json, people=lambda: _print_files(found.manager, found.problems))
    if found.problems:
        raise typer.Exit(1)


@app.command("list-models")
@command
async def list_models(as_json: JsonFlag = False) -> None:
    """List the models of the configuration, and which one is the default."""
    models = [asdict(model) for model in survey(Context.current()).valid().models()]
    rows = [
        (
            m["name"],
            "default" if m["default"] else "",
            m["settings"].get("model_name", ""),
            cell(m["groups"]),
            m["description"],
        )
        for m in models
    ]
    columns = ("model", "", "name at its endpoint", "groups", "description")
    show(models, as_json=as_json, table=columns, rows=rows, empty="no models")


@app.command("show")
@command
async def show_command(part: PartArgument = "", as_json: JsonFlag = False) -> None:
    """Print the effective configuration, secrets masked, and where each value comes from."""
    settings = survey(Context.current()).valid().settings(part)
    found = [{"key": s.key, "value": s.value, "origin": s.origin} for s in settings]
    rows = [(s.key, _short(s.value), s.origin) for s in settings]
    show(found, as_json=as_json, table=("key", "value", "from"), rows=rows)


@app.command()
@command
async def schema(
    part: PartArgument = "",
    output: Annotated[
        Path | None, typer.Option("--out", "--output", help="Write one file per part into this folder.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Print the JSON Schema of each section and file (`--json` changes nothing: it is JSON)."""
    del as_json
    found = survey(Context.current()).manager.schemas(part)
    if output is None:
        print_json(next(iter(found.values())) if part else found)
        return
    for name, text in found.items():
        print(_write(output, f"{name}.schema.json", text))


@app.command("reload-check")
@command
async def check_reload(as_json: JsonFlag = False) -> None:
    """Say whether a restart would accept what is on disk now, and what it would change."""
    found = reload_check(Context.current())
    show(found.as_json(), as_json=as_json, people=lambda: _print_changes(found))
    if found.problems:
        raise typer.Exit(1)


def _print_changes(found: ReloadCheck) -> None:
    if _told(found.problems):
        return
    since = f"the service that started at {found.compared_with}" if found.compared_with else "the defaults"
    print(f"A restart would accept the configuration. Compared with {since}:")
    rows = [(change.key, _short(change.old), _short(change.new)) for change in found.changes]
    print_table(("key", "was", "becomes"), rows, empty="no change")


def _told(problems: Sequence[ConfigProblem]) -> bool:
    """Whether there are any; they are printed."""
    for problem in problems:
        print(f"config_invalid: {problem}", file=sys.stderr)
    return bool(problems)


def _print_files(manager: ConfigManager, problems: Sequence[ConfigProblem]) -> None:
    if _told(problems):
        return
    rows = [
        (f.kind, f.name, ("read" if f.read else "not there: defaults") + _ignored(f.ignored))
        for f in manager.describe()
    ]
    print("The configuration is valid.")
    print_table(("kind", "file", ""), rows)


def _ignored(names: Sequence[str]) -> str:
    return f"; not read beside it: {', '.join(names)}" if names else ""


def _short(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _write(folder: Path, name: str, schema: dict[str, Any]) -> Path:
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise SchemaNotWritten(f"{name} cannot be written into '{folder.name}': {error.strerror}") from error
    return path


if __name__ == "__main__":
    app()
