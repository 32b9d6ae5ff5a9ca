"""Where time and money of runs went, and who did what: what the console's pages show, in a shell."""

# ruff: noqa: PLC0415 - slow imports stay inside the commands, as in server.cli
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import orjson
import typer

from core.cli import JsonFlag, command, print_fields, short, show
from server.cli.sessions import UserOption, opened

_ARGUMENTS = 100
_MESSAGE = 40
_DETAIL = 60
COLUMNS = ("run_id", "thread_id", "status", "asked", "took", "model", "tokens", "cost", "message")


def cells_of(run: Mapping[str, Any]) -> list[object]:
    """A run as a row of `COLUMNS`."""
    usage = run["usage"]
    why = f" ({run['reason']})" if run["reason"] else ""
    return [
        run["run_id"],
        run["thread_id"],
        f"{run['status']}{why}",
        time_of_day(run["created_at"]),
        took(run),
        usage["model"] or "-",
        usage["input_tokens"] + usage["output_tokens"],
        money(run["cost"]),
        short(run["message"].replace("\n", " "), _MESSAGE),
    ]


def show_run(run: Mapping[str, Any]) -> None:
    """A run for people: who asked what, when, what came of it, what it took, and why."""
    usage = run["usage"]
    print_fields(
        {
            "run": run["run_id"],
            "thread": run["thread_id"],
            "user": run["user"],
            "asked": f"{time_of_day(run['created_at'])}  {short(run['message'], 200)}".rstrip(),
            "status": f"{run['status']}{' (' + run['reason'] + ')' if run['reason'] else ''}",
            "took": f"{took(run)}, {run['attempts']} attempt{'' if run['attempts'] == 1 else 's'}",
            "model": usage["model"] or "-",
            "tokens": f"{usage['input_tokens']} in, {usage['output_tokens']} out",
            "cost": money(run["cost"]),
        }
    )
    output, error = run["output"] or {}, run["error"] or {}
    for call in output.get("tool_calls", ()):
        arguments = short(orjson.dumps(call["arguments"], default=str).decode(), _ARGUMENTS)
        print(f"\n{call['server']} {call['tool']} {arguments}: {call['status']}{_decided(call)}")
    for file in output.get("files", ()):
        print(f"\nfile {file['name']} ({file['size']} bytes): {file['key']}")
    for question in output.get("interrupts", ()):
        print(f"\nwaits: {question.get('detail', '')}")
    if output.get("answer"):
        print(f"\n{output['answer']}")
    if error:
        print(f"\n{error.get('code')}: {error.get('detail') or error.get('title')}")


def _decided(call: Mapping[str, Any]) -> str:
    decision = call.get("decision")
    if not decision:
        return ""
    why = f": {decision['reason']}" if decision.get("reason") else ""
    return f" ({decision['type']} by {decision.get('by', 'somebody')}{why})"


def time_of_day(at: str | None) -> str:
    """A time to the second, in UTC."""
    return "-" if at is None else datetime.fromisoformat(at).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def took(run: Mapping[str, Any]) -> str:
    """From when a run was asked for to its end."""
    if run["ended_at"] is None:
        return "-"
    ended, asked = (datetime.fromisoformat(run[name]) for name in ("ended_at", "created_at"))
    return span((ended - asked).total_seconds() * 1000)


def span(ms: float | None) -> str:
    """Milliseconds as people read them; None: it goes on."""
    if ms is None:
        return "…"
    return f"{ms / 1000:.1f} s" if ms >= 1000 else f"{ms:.0f} ms"


def money(cost: float | None) -> str:
    """A cost in the currency of the models' prices; None: no price is known."""
    return "-" if cost is None else f"{cost:.6f}".rstrip("0").rstrip(".") or "0"


@command
async def spans_command(run_id: str, *, user: UserOption = "", as_json: JsonFlag = False) -> None:
    """Where the time of a run went: steps, model calls, tool calls, retrieval and waiting."""
    from server.routes.insight import spans_of

    async with opened(user, idle=True) as (agent, who):
        found = await spans_of(agent, who, run_id)
    rows = [
        (
            f"{'  ' * depth}{one['kind']} {one['name']}",
            one["status"],
            span(one["start_ms"]),
            span(one["duration_ms"]),
        )
        for depth, one in _nested(found["spans"])
    ]
    show(found, as_json=as_json, table=("what", "status", "began", "took"), rows=rows)


def _nested(spans: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    depths: dict[Any, int] = {None: -1}
    for one in spans:
        depths[one["id"]] = depths[one["parent"]] + 1
        yield depths[one["id"]], one


@command
async def costs_command(
    *,
    by: Annotated[Literal["day", "model", "user"], typer.Option(help="What a row stands for.")] = "day",
    days: Annotated[int, typer.Option(min=1, max=36_500, help="Of so many days up to now.")] = 30,
    model: Annotated[str, typer.Option(help="Only runs that this model answered.")] = "",
    everybody: Annotated[bool, typer.Option("--everybody", help="Of all users together.")] = False,
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Runs, tokens, cost and time, by day, model or user."""
    from core.access import owner_seen_by
    from graph.insight.costs import costs
    from graph.insight.listing import RunFilter

    since = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    async with opened(user, idle=True) as (agent, who):
        wanted = RunFilter(None if everybody else owner_seen_by(who), model=model or None, since=since)
        found = await costs(agent.engine, wanted, by=by)
    rows = [*found["rows"], {"key": "together", **found["totals"]}] if found["rows"] else []
    cells = [[row["key"] or "(none answered)", *_sums(row)] for row in rows]
    show(found, as_json=as_json, table=(by, *_SUMS), rows=cells, empty="no runs")


def _sums(row: Mapping[str, Any]) -> list[object]:
    return [money(row[name]) if name == "cost" else row[name] for name in _SUMS]


_SUMS = ("runs", "failed", "input_tokens", "output_tokens", "cost", "seconds")


@command
async def audit_command(
    *,
    q: Annotated[str, typer.Option(help="A part of the line.")] = "",
    by: Annotated[str, typer.Option(help="Who did it: a user's id.")] = "",
    what: Annotated[str, typer.Option(help="Name of an event, such as ToolExecuted.")] = "",
    run: Annotated[str, typer.Option(help="Id of a run.")] = "",
    before: Annotated[str, typer.Option(help="`at` of the last line of the page before.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """The audit log of this machine, the newest line first: who did what, when, with what outcome."""
    from core.events.reading import AuditReader
    from core.settings import Places

    reader = AuditReader(Places.from_environ())
    found = await reader.find(
        q=q, who=by or None, what=what or None, run=run or None, before=before or None, limit=limit
    )
    show(found, as_json=as_json, table=_LINE, rows=[_line(each) for each in found], empty="no such lines")


_LINE = ("at", "who", "what", "outcome", "run", "details")


def _line(entry: Mapping[str, Any]) -> list[object]:
    details = ", ".join(f"{name}={value}" for name, value in entry.get("details", {}).items() if value)
    told = (entry.get(name, "") for name in ("who", "what", "outcome", "run_id"))
    return [time_of_day(entry.get("at")), *told, short(details, _DETAIL)]
