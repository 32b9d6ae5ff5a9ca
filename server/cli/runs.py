"""`waystation runs`: what ran, what it told; go on, end, record, and replay without model and tools."""

# ruff: noqa: PLC0415 - slow imports stay inside the commands, as in server.cli
from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from core.cli import JsonFlag, command, make_app, print_json, print_table, short, show
from core.errors import InvalidInput
from server.cli.insight import COLUMNS, cells_of, show_run, spans_command
from server.cli.sessions import UserOption, opened, quiet

if TYPE_CHECKING:
    from core.access import Principal
    from graph.replay.recording import Recording
    from graph.replay.replay import Replayed

runs = make_app("runs")
_SHOWN = 100


@runs.command("list")
@command
async def list_command(
    *,
    thread: Annotated[str | None, typer.Option(help="Only runs on this session.")] = None,
    status: Annotated[
        str | None, typer.Option(help="queued, running, interrupted, done, failed or cancelled.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    after: Annotated[
        str | None, typer.Option(help="`cursor` or id of the last run of the page before.")
    ] = None,
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Runs, the newest first: what was asked, what came of it, what it took."""
    from graph.insight.listing import run_row

    async with opened(user, idle=True) as (agent, who):
        records = await agent.runs.list(who, thread_id=thread, status=status, limit=limit, after=after)
    found = [run_row(record, mine=True) for record in records]
    show(found, as_json=as_json, table=COLUMNS, rows=[cells_of(run) for run in found], empty="no runs")


@runs.command("show")
@command
async def show_command(run_id: str, *, user: UserOption = "", as_json: JsonFlag = False) -> None:
    """One run: who asked what and when, what came of it and why, and what it took."""
    async with opened(user, idle=True) as (agent, who):
        record = await agent.runs.get(who, run_id)
    run = record.as_json()
    asked = {"user": record.request.principal.id, "message": record.request.message}
    show(run, as_json=as_json, people=lambda: show_run({**run, **asked}))


runs.command("spans")(spans_command)


@runs.command("events")
@command
async def events_command(
    run_id: str,
    *,
    after: Annotated[int, typer.Option(min=0, help="Only events with a number above this.")] = 0,
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """What a run told, and what it tells until it ends."""
    found: list[dict[str, Any]] = []
    async with opened(user, idle=True) as (agent, who):
        async for event in agent.runs.events(who, run_id, after=after):
            if as_json:
                found.append(event)
            else:
                print(_line(event), flush=True)
    if as_json:
        print_json(found)


@runs.command("resume")
@command
async def resume_command(
    run_id: str,
    *,
    approve: Annotated[
        bool | None, typer.Option("--approve/--deny", help="Yes or no to all that waits.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, with --deny; the model reads it.")] = "",
    answer: Annotated[
        str, typer.Option(help="The answer to what waits as JSON, as `resume` takes it over HTTP.")
    ] = "",
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Go on with a run in this process: with the answer to what waits, or where it was stopped."""
    from server.cli.ask import answer_of, go_on

    given = answer_of(approve=approve, reason=reason, answer=answer)
    quiet()
    await go_on(run_id, given, user=user, as_json=as_json)


@runs.command("cancel")
@command
async def cancel_command(run_id: str, *, user: UserOption = "", as_json: JsonFlag = False) -> None:
    """End a run, wherever it goes."""
    async with opened(user, idle=True) as (agent, who):
        record = await agent.runs.cancel(who, run_id)
    # A run that goes on in another process ends there, in a moment.
    told = f"run {run_id} is asked to stop" if record.active else f"run {run_id} is {record.status}"
    show(record.as_json(), as_json=as_json, text=told)


@runs.command("record")
@command
async def record_command(
    run_id: str,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to; by default RUN.json here.")
    ] = None,
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Write a run that has ended to a file, without its secrets, for `replay`."""
    from graph.replay.recorder import record

    path = output or Path(f"{run_id}.json")
    async with opened(user) as (agent, who):
        recording = await record(agent, who, run_id)
    with _writing(path):
        recording.save(path)
    _missing(recording)
    told = {
        "file": str(path),
        "run_id": run_id,
        "status": recording.expected.status,
        "model_calls": len(recording.answers),
        "tool_calls": len(recording.outcomes),
        "passages": len(recording.retrieval.documents),
    }
    show(told, as_json=as_json)


@runs.command("replay")
@command
async def replay_command(
    file: Path,
    *,
    swap: Annotated[
        list[str] | None,
        typer.Option(
            help="A step that really runs, as NODE=module:attribute; NODE alone is that of this "
            "configuration. May be repeated."
        ),
    ] = None,
    pytest: Annotated[
        Path | None, typer.Option(help="Write the replay to this file too, as a test for pytest.")
    ] = None,
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Run a recorded turn again with what its model and tools answered; exit 1 where it differs."""
    from graph.replay.as_pytest import as_pytest
    from graph.replay.recording import Recording
    from graph.replay.replay import replay

    named, own = _swaps(swap or ())
    if pytest and own:
        raise InvalidInput(f"a test cannot have this configuration's {own[0]}; give it as module:attribute")
    recording = Recording.load(file)
    _here_is_importable()
    async with _own_nodes(own, user) as (nodes, who):
        replayed = await replay(recording, swap={**nodes, **named}, principal=who)
    if pytest:
        with _writing(pytest):
            as_pytest(recording, pytest, swap=named, replayed=replayed)
    report = {**replayed.as_json(), "test": str(pytest) if pytest else None}
    show(report, as_json=as_json, people=lambda: _tell(replayed))
    if not replayed.same:
        raise typer.Exit(1)


def _swaps(given: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Nodes by name, and the steps whose node is that of the configuration."""
    pairs = [item.partition("=") for item in given]
    named = {step: node for step, equals, node in pairs if equals}
    return named, [step for step, equals, _ in pairs if not equals]


@asynccontextmanager
async def _own_nodes(
    steps: Sequence[str], user: str
) -> AsyncIterator[tuple[dict[str, Any], Principal | None]]:
    """The configuration's own nodes for these steps; where there is none, nothing is opened."""
    if not steps:
        yield {}, None
        return
    from graph.flow.steps import Steps

    async with opened(user) as (agent, who):
        known = (await agent.container.get(Steps)).nodes
        for step in steps:
            if step not in known:
                raise InvalidInput(f"there is no step '{step}'; steps: {', '.join(known)}")
        yield {step: known[step] for step in steps}, who


def _here_is_importable() -> None:
    """A console script does not look for modules where it is called, and that is where people's nodes are."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidInput(f"'{path}' cannot be written: {error.strerror}") from None


def _missing(recording: Recording) -> None:
    missing = recording.retrieval.missing
    if missing:
        numbers = ", ".join(f"[{n}]" for n in missing)
        print(f"the text of {numbers} is not found any more; the recording has none", file=sys.stderr)


def _tell(replayed: Replayed) -> None:
    rows = [[number, step.node, _short(step.did)] for number, step in enumerate(replayed.steps, start=1)]
    print_table(("step", "node", "did"), rows)
    print(f"\n{replayed.answer}")
    if replayed.error:
        print(f"\n{replayed.error['code']}: {replayed.error['detail']}")
    if replayed.same:
        print("\nas recorded")
    for difference in replayed.differences:
        print(f"\n{difference}")


def _line(event: dict[str, Any]) -> str:
    rest = {k: v for k, v in event.items() if k not in {"seq", "type", "run_id"}}
    return f"{event['seq']:>5}  {event['type']:<14} {_short(rest)}"


def _short(value: Any) -> str:
    return short(orjson.dumps(value, default=str).decode(), _SHOWN)
