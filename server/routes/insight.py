"""Where time and money of runs went, what they told, how two differ, and the graph with its figures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from core.access import Principal, owner_seen_by, require
from core.database.engine import now_of
from core.errors import Conflict
from core.events.reading import AuditReader
from core.settings import Places
from graph.agent import Agent
from graph.errors import RunNotFound
from graph.flow.steps import Steps
from graph.insight.costs import By, costs
from graph.insight.listing import RunFilter, RunList, run_row
from graph.insight.run_events import events_of, page
from graph.insight.spans import Waterfall
from graph.insight.usage import drawn, usage
from graph.runs.events import VOCABULARY
from graph.runs.record import STATUSES
from server.errors import InvalidRequest
from server.middleware.auth import Caller
from server.requests import ID_PATTERN
from server.routes.common import After, OpenAgent, link_next, problems
from server.routes.graph_picture import svg
from server.shapes.events import EventPage
from server.shapes.form import Json, Shape
from server.shapes.insight import AuditLine, Costs, GraphShown, RunSpans
from server.shapes.runs import Comparison, OwnedRun, Replayed, RunCounts
from server.sse import event_namer, named_run

router = APIRouter(tags=["runs"], responses=problems(RunNotFound, InvalidRequest))

EVERYBODY = "*"
RunId = Annotated[str, Field(pattern=ID_PATTERN)]
Whose = Annotated[
    str | None, Query(max_length=255, description="Another user's, or `*` for all: takes the scope `admin`.")
]
Since = Annotated[datetime | None, Query(description="Asked for from this time on, ISO 8601.")]
Until = Annotated[datetime | None, Query(description="Asked for before this time, ISO 8601.")]
Status = Annotated[str | None, Query(max_length=16, description=f"One of {', '.join(STATUSES)}.")]


def owner_of(who: Principal, user: str | None) -> str | None:
    """Whose runs are asked for; None: everybody's.

    Raises:
        ScopeMissing: They are not the caller's, and the caller is no admin.
    """
    if user is None or user == who.id:
        return owner_seen_by(who)
    require(who, "admin")
    return None if user == EVERYBODY else user


def seconds_of(moment: datetime | None) -> float | None:
    """Epoch seconds; a time without a zone is UTC."""
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@router.get("/runs")
async def list_runs(
    *,
    request: Request,
    response: Response,
    agent: OpenAgent,
    who: Caller,
    status: Status = None,
    thread: Annotated[str | None, Query(max_length=64, description="Only runs on this thread.")] = None,
    model: Annotated[
        str | None, Query(max_length=200, description="Only runs that this model answered.")
    ] = None,
    q: Annotated[
        str | None,
        Query(max_length=200, description="Words of the message or title, or the id of a run or thread."),
    ] = None,
    since: Since = None,
    until: Until = None,
    user: Whose = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: After = None,
) -> Annotated[list[Json], Shape(list[OwnedRun])]:
    """Your runs on all threads, the newest first; for the next page pass the last `cursor` as `after`.

    Of other people's an admin sees what they took and how they ended, and nothing of what was said.
    """
    owner = owner_of(who, user)
    wanted = RunFilter(owner, status, thread, model, q, seconds_of(since), seconds_of(until))
    found = await RunList(agent.engine).page(wanted, limit=limit, after=after)
    rows = [named_run(agent, run_row(each, mine=each.request.principal.id == who.id)) for each in found]
    link_next(request, response, rows, limit)
    return rows


@router.get("/runs/counts")
async def count_runs(
    agent: OpenAgent, who: Caller, since: Since = None, user: Whose = None
) -> Annotated[dict[str, int], Shape(RunCounts)]:
    """How many runs are in each status, and as `waiting` how many threads wait for a person now."""
    return await RunList(agent.engine).counts(RunFilter(owner_of(who, user), since=seconds_of(since)))


@router.get("/runs/{run_id}/spans")
async def spans(run_id: RunId, agent: OpenAgent, who: Caller) -> Annotated[Json, Shape(RunSpans)]:
    """Where the run's time went: steps, model calls, tool calls, retrieval and waiting, each with its time.

    Times are milliseconds from when the run was asked for. What goes on has no duration yet.
    """
    return await spans_of(agent, who, run_id)


async def spans_of(agent: Agent, who: Principal, run_id: str) -> dict[str, Any]:
    """The waterfall of a run, as `/runs/{run_id}/spans` gives it."""
    record = await agent.runs.get(who, run_id)
    now = now_of(agent.engine)
    live = agent.runs.live.get(run_id)
    rows = live.step_rows(now) if live is not None else ()
    parts = {name: placed.part for name, placed in (await agent.container.get(Steps)).by_name.items()}
    found = Waterfall(record, await events_of(agent.engine, run_id), parts, live=rows, now=now)
    return found.as_json()


@router.get("/runs/{run_id}/events/page")
async def events_page(
    *,
    run_id: RunId,
    agent: OpenAgent,
    who: Caller,
    after: Annotated[int, Query(ge=0, le=2**53, description="Number of the last event you have.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    type: Annotated[  # noqa: A002 - the name of the field
        str | None, Query(max_length=16, description=f"Only one of {', '.join(VOCABULARY)}.")
    ] = None,
) -> Annotated[Json, Shape(EventPage)]:
    """What is stored of the run's events, with the time of each; `next` is the `after` of the next page."""
    await agent.runs.get(who, run_id)
    found = await page(agent.engine, run_id, after=after, limit=limit, kind=type)
    if (name := event_namer(agent)) is not None:
        found["events"] = [name(event) for event in found["events"]]
    return found


@router.get("/runs/{run_id}/log")
async def run_log(
    run_id: RunId, agent: OpenAgent, who: Caller, limit: Annotated[int, Query(ge=1, le=1000)] = 200
) -> Annotated[list[Json], Shape(list[AuditLine])]:
    """Lines of the audit log that belong to the run, the newest first: what happened, without any content."""
    await agent.runs.get(who, run_id)
    reader = AuditReader(await agent.container.get(Places))
    return await reader.find(run=run_id, limit=limit)


@router.get("/runs/{run_id}/compare", responses=problems(Conflict))
async def compare(
    run_id: RunId,
    agent: OpenAgent,
    who: Caller,
    other: Annotated[str, Query(alias="with", pattern=ID_PATTERN, description="Another run of yours.")],
) -> Annotated[Json, Shape(Comparison)]:
    """Two runs of yours that have ended, step by step up to where they part ways, and what each took."""
    # It takes LangGraph's replay along, which no other route needs.
    from graph.replay.differences import Compared, differences  # noqa: PLC0415
    from graph.replay.recorder import record  # noqa: PLC0415

    compared = Compared(await agent.container.get(Steps))
    pair = [(await agent.runs.get(who, key)).as_json() for key in (run_id, other)]
    one, two = [compared.of_recording(await record(agent, who, key)) for key in (run_id, other)]
    found = [each.as_json() for each in differences(one, two)]
    return {
        "same": not found,
        "runs": [{k: v for k, v in run.items() if k not in ("output", "error")} for run in pair],
        "steps": [[{"node": step.node, **step.did} for step in steps] for steps in (one, two)],
        "differences": [
            {"step": each["step"], "first": each["recorded"], "second": each["replayed"]} for each in found
        ],
    }


@router.get("/runs/{run_id}/recording", responses=problems(Conflict))
async def recording(run_id: RunId, agent: OpenAgent, who: Caller) -> Response:
    """The run as a file for `waystation runs replay`, without its secrets."""
    from graph.replay.recorder import record  # noqa: PLC0415 - see compare

    made = await record(agent, who, run_id)
    headers = {"content-disposition": f'attachment; filename="{run_id}.json"'}
    return Response(made.model_dump_json(indent=1), media_type="application/json", headers=headers)


@router.post("/runs/{run_id}/replay", responses=problems(Conflict))
async def replay_run(run_id: RunId, agent: OpenAgent, who: Caller) -> Annotated[Json, Shape(Replayed)]:
    """The run again through the graph of now, with what its model and tools answered then; nothing is stored.

    `differences` says where today's graph goes another way.
    """
    from graph.replay.recorder import record  # noqa: PLC0415 - see compare
    from graph.replay.replay import replay  # noqa: PLC0415

    made = await record(agent, who, run_id)
    return (await replay(made, principal=who)).as_json()


@router.get("/costs")
async def show_costs(
    *,
    agent: OpenAgent,
    who: Caller,
    by: Annotated[By, Query(description="What a row stands for.")] = "day",
    since: Since = None,
    until: Until = None,
    model: Annotated[
        str | None, Query(max_length=200, description="Only runs that this model answered.")
    ] = None,
    user: Whose = None,
) -> Annotated[Json, Shape(Costs)]:
    """Runs, tokens, cost and time by day, model or user; without `since`, of the last 30 days."""
    begin = seconds_of(since or datetime.now(UTC) - timedelta(days=30))
    wanted = RunFilter(owner_of(who, user), model=model, since=begin, until=seconds_of(until))
    return await costs(agent.engine, wanted, by=by)


Form = Literal["json", "svg"]


@router.get("/graph")
async def show_graph(
    agent: OpenAgent,
    who: Caller,
    form: Annotated[Form, Query(alias="format", description="svg: the picture.")] = "json",
    user: Whose = None,
) -> Annotated[Any, Shape(GraphShown)]:
    """The graph: its steps, how often each ran in the newest runs and how long it took, and its edges."""
    found = await graph_of(agent, who, user)
    return Response(svg(found), media_type="image/svg+xml") if form == "svg" else found


async def graph_of(agent: Agent, who: Principal, user: str | None = None) -> dict[str, Any]:
    """The graph with its figures, as `/graph` gives it."""
    looked_at, used = await usage(agent.engine, RunFilter(owner_of(who, user)))
    steps = await agent.container.get(Steps)
    return {"runs": looked_at, **drawn(agent.graph.get_graph(), steps, used)}
