"""`waystation`: the service, a turn in this process, sessions, and every module's own commands.

Anything slow is imported inside the command that needs it, so that `--help` and usage errors are instant.
"""

# ruff: noqa: PLC0415 - slow imports stay inside the commands, see above
from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from core.choices import Choices
from core.cli import JsonFlag, command, fail, loading_app, make_app, show
from core.collecting import load
from core.errors import ConfigInvalid, InvalidInput, WaystationError
from core.installed import is_missing, needs
from server.cli import backup, insight, serving
from server.cli.choices import number_options
from server.cli.sessions import UserOption, opened

if TYPE_CHECKING:
    from langchain_core.runnables.graph import Graph

    from core.health import Health
    from core.lifecycle import ModuleState

app = make_app(
    "waystation",
    "Turns of an agent graph on checkpointed threads: the service and its tools.",
    completion=True,
)

# The platform's groups of commands: where each stands, and what is said of it.
GROUPS = {
    "threads": (
        "server.cli.threads:threads",
        (
            "Sessions: list, show, history, state, diff, fork, search, tag, rename, waiting, export, import, "
            "delete."
        ),
    ),
    "breakers": ("core.resilience.cli:app", "Circuit breakers of the running service: list, reset."),
    "db": ("server.cli.db:db", "The database as a whole: copy it into another, of either kind."),
    "deploy": ("server.cli.deploy:deploy", "Before a new release: would the threads of the old one go on?"),
    "keys": ("server.cli.keys:keys", "API keys: create, list, revoke."),
    "runs": (
        "server.cli.runs:runs",
        "Runs: list, show, spans, events, resume, cancel; record a run and replay it.",
    ),
    "storage": ("server.cli.storage:storage", "What threads take in the database and as files."),
    "tasks": ("server.cli.tasks:tasks", "Background tasks: list, show, cancel, run."),
}
for word, (where, about) in GROUPS.items():
    app.add_typer(loading_app(where, about), name=word)
# A module's group with commands of the service in it.
WITH_OURS = {"mcp": "server.cli.mcp:app"}
# Words that need none of the modules' own commands.
OWN = frozenset(
    {
        *("serve", "ask", "audit", "backup", "check", "costs", "demo", "graph", "init", "modules"),
        *("restore", "worker"),
        *GROUPS,
    }
)

# How long `check` waits for what starts.
START_PATIENCE_S = 30.0

GroupOption = Annotated[
    list[str] | None, typer.Option("--group", help="A group of that user; may be repeated.")
]


@app.callback(invoke_without_command=True)
def _program(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="The version, and how it was installed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --version: print JSON for machines.")] = False,
) -> None:
    if version:
        _print_version(as_json=as_json)
        raise typer.Exit
    if as_json:
        raise typer.BadParameter("it stands behind the command, or beside --version", param_hint="--json")
    if context.invoked_subcommand is None:
        raise typer.BadParameter("there is no command")


def _print_version(*, as_json: bool) -> None:
    from platform import python_version

    from core.installed import ROOT, from_wheel, installed_version

    how = "wheel" if from_wheel() else "checkout"
    found = {
        "version": installed_version(),
        "python": python_version(),
        "installed": how,
        "folder": str(ROOT),
    }
    text = "waystation {version} (Python {python}, {installed} in {folder})".format(**found)
    show(found, as_json=as_json, text=text)


@app.command("init")
def init_command(
    folder: Annotated[
        Path, typer.Argument(help="Made where it is not there; by default the current one.")
    ] = Path(),
    *,
    as_json: JsonFlag = False,
) -> None:
    """Write a configuration with comments, a plugin and a notebook to begin with. Overwrites nothing."""
    from server.cli.init import init

    try:
        init(folder, as_json=as_json)
    except WaystationError as error:
        fail(error)


@app.command("demo")
def demo_command() -> None:
    """Five turns that show what there is, with nothing configured."""
    from server.demo import main as demo

    demo()


app.command("serve")(serving.serve_command)
app.command("costs")(insight.costs_command)
app.command("audit")(insight.audit_command)


@app.command("ask")
@command
@number_options
async def ask_command(
    text: Annotated[
        str, typer.Argument(help="The message; without one, --approve, --deny or --answer answers a pause.")
    ] = "",
    *,
    thread: Annotated[str | None, typer.Option(help="Session to continue.")] = None,
    model: Annotated[str, typer.Option(help="Name of a model.")] = "",
    source: Annotated[list[str] | None, typer.Option(help="Source to search; may be repeated.")] = None,
    tool: Annotated[list[str] | None, typer.Option(help="Server or tool to offer; may be repeated.")] = None,
    file: Annotated[list[Path] | None, typer.Option(help="File to send along; may be repeated.")] = None,
    user: UserOption = "",
    group: GroupOption = None,
    approve: Annotated[
        bool | None,
        typer.Option(
            "--approve/--deny",
            help="Answer what waits. With a message: what tools that ask first shall get beforehand, as far "
            "as mcp.callers_may_lower_approval lets callers approve.",
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, with --deny; the model reads it.")] = "",
    answer: Annotated[
        str, typer.Option(help="The answer to what waits as JSON, as `resume` takes it over HTTP.")
    ] = "",
    here: Annotated[
        bool,
        typer.Option("--here", "--no-service", help="In this process, also where a service runs."),
    ] = False,
    as_json: JsonFlag = False,
    **numbers: float | None,
) -> None:
    """One turn, streamed: through the running service of this home, else in this process."""
    from server.cli.ask import Question, talk

    question = Question(
        text=text,
        thread=thread,
        choices=Choices.of({"model": model, "sources": source, "tools": tool, **numbers}),
        files=tuple(file or ()),
        user=user,
        groups=tuple(group or ()),
        approve=approve,
        reason=reason,
        answer=answer,
    )
    await talk(question, here=here, as_json=as_json)


@app.command("check")
@command
async def check_command(*, as_json: JsonFlag = False) -> None:
    """The health of every module; exit 1 if a turn would not work now."""
    async with opened() as (agent, _):
        # A machine that starts everything for the first time is not ill: what starts is waited for.
        report = await agent.health.report(patience=START_PATIENCE_S)
        ready = await agent.health.ready()
    found = {"ready": ready, "modules": {name: health.as_json() for name, health in report.items()}}
    rows = [[name, health.state.value, health.reason] for name, health in report.items()]
    show(found, as_json=as_json, table=("module", "state", "reason"), rows=rows)
    if not as_json:
        print("ready" if ready else "not ready")
    if not ready:
        raise typer.Exit(1)


@app.command("graph")
@command
async def graph_command(
    *,
    form: Annotated[Literal["mermaid", "png"], typer.Option("--format", help="mermaid or png.")] = "mermaid",
) -> None:
    """The picture of the graph: Mermaid as text, or PNG for a file (`> graph.png`)."""
    if form == "png" and sys.stdout.isatty():
        raise InvalidInput("a PNG is no text for a terminal; write it to a file: --format png > graph.png")
    draw = picturing() if form == "png" else None
    async with opened(idle=True) as (agent, _):
        graph = agent.graph.get_graph()
    if draw is None:
        print(graph.draw_mermaid())
        return
    sys.stdout.buffer.write(draw(graph))
    sys.stdout.buffer.flush()


app.command("backup")(backup.backup_command)
app.command("restore")(backup.restore_command)


@app.command("modules")
@command
async def modules_command(*, as_json: JsonFlag = False) -> None:
    """The registry: every module, its version and its state."""
    async with opened() as (agent, _):
        report = await agent.health.report()
        found = [_module_row(state, report) for state in agent.module_states]
    columns = ("name", "version", "state", "command", "summary", "reason")
    show(found, as_json=as_json, table=columns)


@app.command("worker")
@command
async def worker_command() -> None:
    """Run background tasks until SIGTERM or Ctrl-C, and nothing else."""
    from server.cli.tasks import work

    await work()


def picturing() -> Callable[[Graph], bytes]:
    """What draws a graph.

    Raises:
        ConfigInvalid: The extra for it is not installed.
    """
    try:
        from server.cli.picture import draw_png
    except ModuleNotFoundError as error:
        if not is_missing(error, "PIL"):
            raise
        raise ConfigInvalid(needs("a picture as PNG", "images")) from None
    return draw_png


def _module_row(state: ModuleState, report: Mapping[str, Health]) -> dict[str, Any]:
    module, health = state.module, report.get(state.module.name)
    return {
        "name": module.name,
        "version": module.version,
        "state": health.state.value if health else state.phase.value,
        "reason": state.reason or (health.reason if health else ""),
        "required": module.required,
        "needs": list(module.needs),
        "command": module.command,
        "node": module.all_steps[0].name if module.all_steps else None,
        "steps": [step.name for step in module.all_steps],
        "sections": [section.name for section in module.sections],
        "files": [file.kind for file in module.files],
        "tasks": [task.name for task in module.tasks],
        "summary": module.summary,
    }


def mount_modules() -> None:
    """Put each module's own commands under its word."""
    from core.registry import declared

    for module in declared():
        if not module.cli:
            continue
        if module.command in OWN:
            raise ConfigInvalid(
                f"the module '{module.name}' wants the word '{module.command}', which is the service's own"
            )
        where = WITH_OURS.get(module.command, module.cli)
        cli = loading_app(where, module.summary) if isinstance(where, str) else where
        app.add_typer(cli, name=module.command, help=module.summary)


def _word() -> str:
    """The command that is meant, before anything is loaded for it; "" where all have to be."""
    # A shell that completes a line gives it in one of these two.
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS")
    words = line.split()[1:] if line and "_WAYSTATION_COMPLETE" in os.environ else sys.argv[1:]
    if words and set(words) <= {"--version", "--json"}:
        return "check"  # any that needs nothing loaded: none is run
    return next((part for part in words if not part.startswith("-")), "")


def main() -> None:
    """The console script. Every failure is one line on stderr and exit code 1."""
    load()
    word = _word()
    try:
        if word not in OWN:
            mount_modules()
        app()
    except WaystationError as error:
        try:
            fail(error)
        except typer.Exit:
            sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the edge of the process: people get a line, not a stack
        if os.environ.get("WAYSTATION_TELEMETRY__LOG_LEVEL") == "debug":
            import traceback

            traceback.print_exc()
        print(_last_words(error), file=sys.stderr)
        sys.exit(1)


def _last_words(error: Exception) -> str:
    from core.database.outage import storage_outage

    if away := storage_outage(error):
        return f"{away.code}: {away.detail}"
    line = str(error).partition("\n")[0]
    return f"internal: {type(error).__name__}: {line}; set WAYSTATION_TELEMETRY__LOG_LEVEL=debug to see where"


if __name__ == "__main__":
    main()
