"""Runs: begun in the background, followed, waited for, cancelled and gone on with, from any process."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema

from core.settings.platform import ServerSettings
from graph.errors import (
    AlreadyAnswered,
    Draining,
    KeyReused,
    MessageTooLong,
    NothingToResume,
    QueueFull,
    RunEnded,
    RunNotFound,
    ThreadBusy,
    ThreadNotFound,
    ThreadWaiting,
    TooManyRuns,
)
from graph.runs.record import TurnRequest
from server.errors import InvalidRequest
from server.middleware.auth import Caller
from server.requests import (
    ID_PATTERN,
    AgentInput,
    Configurable,
    check_configurable,
    idempotency_key,
    json_answer,
    last_event_id,
    turn_request,
)
from server.routes.common import After, OpenAgent, link_next, problems
from server.shapes.form import Json, Shape
from server.shapes.runs import BegunRun, ListedRun, Run
from server.sse import RunResponse, event_namer, named_run

router = APIRouter(tags=["runs"], responses=problems(RunNotFound, InvalidRequest))

_CANNOT_BEGIN = (
    ThreadNotFound,
    ThreadBusy,
    ThreadWaiting,
    MessageTooLong,
    InvalidRequest,
    KeyReused,
    QueueFull,
    TooManyRuns,
    Draining,
)

LONGEST_WAIT = 600.0
RunId = Annotated[str, Field(pattern=ID_PATTERN)]
Key = Annotated[
    str | None, Header(alias="Idempotency-Key", description="The same key gives the same run again.")
]


class NewRunBody(BaseModel, extra="forbid"):
    """A turn that goes on in the background."""

    input: AgentInput
    configurable: Annotated[Json, Shape(Configurable)] = Field(
        default_factory=dict, description="As in /agent/invoke, without thread_id."
    )
    on_busy: Literal["reject", "enqueue", "interrupt"] = Field(
        "reject",
        description="When the thread has a run going or waits for a person: refuse (409), wait in line, "
        "or stop that run at its next checkpoint and take its place.",
    )
    webhook: str | None = Field(
        None, max_length=2000, description="A hook of the settings, or an allowed URL, told of the end."
    )


@router.post("/threads/{thread_id}/runs", status_code=202, responses=problems(*_CANNOT_BEGIN))
async def create_run(
    thread_id: RunId, body: NewRunBody, agent: OpenAgent, who: Caller, key: Key = None
) -> Annotated[Json, Shape(BegunRun)]:
    """Begin a run and answer at once. Its message is stored when this answers."""
    handle = await agent.begin(_request(who, thread_id, body, key))
    return _accepted(handle.record)


def _request(who: Caller, thread_id: str, body: NewRunBody, key: str | None) -> TurnRequest:
    options = check_configurable(body.configurable).model_dump()
    if options.get("thread_id") not in (None, thread_id):
        raise InvalidRequest("configurable.thread_id: is another thread than that of the path; leave it out")
    options |= {"thread_id": thread_id, "on_busy": body.on_busy, "on_disconnect": "continue"}
    return turn_request(
        who,
        body.input,
        options,
        key=idempotency_key(key),
        webhook=body.webhook,
        background=True,
    )


@router.get("/threads/{thread_id}/runs", responses=problems(ThreadNotFound))
async def list_thread_runs(
    *,
    thread_id: RunId,
    request: Request,
    response: Response,
    agent: OpenAgent,
    who: Caller,
    status: Annotated[str | None, Query(description="One status of runs.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: After = None,
) -> Annotated[list[Json], Shape(list[ListedRun])]:
    """The runs of a thread, the newest first."""
    await agent.threads.get(who, thread_id)
    found = await agent.runs.list(who, thread_id=thread_id, status=status, limit=limit, after=after)
    rows = [named_run(agent, record.as_row()) for record in found]
    link_next(request, response, rows, limit)
    return rows


@router.get("/runs/{run_id}")
async def show_run(run_id: RunId, agent: OpenAgent, who: Caller) -> Annotated[Json, Shape(Run)]:
    """A run: status, attempts, times, usage, and its output or error when it has one."""
    return named_run(agent, (await agent.runs.get(who, run_id)).as_json())


@router.get("/runs/{run_id}/events", response_class=Response)
async def follow_run(  # noqa: PLR0917 - FastAPI gives them by name
    run_id: RunId,
    request: Request,
    agent: OpenAgent,
    who: Caller,
    after: Annotated[int, Query(ge=0, le=2**53, description="Number of the last event you have.")] = 0,
    last: Annotated[
        str | None, Header(alias="Last-Event-ID", description="The same, as browsers send it; it wins.")
    ] = None,
) -> Response:
    """The run's events as server-sent events: those that were, then those that come, to the last one."""
    handle = await agent.runs.handle(who, run_id)
    place = last_event_id(last, default=after)
    stall = agent.book[ServerSettings].stream_stall_seconds
    return RunResponse(handle, after=place, stall=stall, renamed=event_namer(agent))


@router.get("/runs/{run_id}/wait")
async def wait_for_run(
    run_id: RunId,
    agent: OpenAgent,
    who: Caller,
    timeout: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="Seconds.")] = 60.0,
) -> Annotated[Json, Shape(Run)]:
    """The run as soon as it has ended or waits for a person, else as it is at the timeout."""
    return named_run(agent, (await agent.runs.wait(who, run_id, timeout=timeout)).as_json())


@router.post("/runs/{run_id}/cancel", status_code=202, responses=problems(RunEnded))
async def cancel_run(run_id: RunId, agent: OpenAgent, who: Caller) -> Annotated[Json, Shape(BegunRun)]:
    """End the run, in whatever process it goes on. What it had said so far is kept."""
    return _accepted(await agent.runs.cancel(who, run_id))


class ResumeBody(BaseModel, extra="forbid"):
    """Answers to what waits; nothing, to go on with a run that was stopped."""

    resume: Annotated[Any, AfterValidator(json_answer), WithJsonSchema({"type": "object"})] = Field(
        None,
        description='{"approve": true} for all that waits, {"decisions": […]} with one for each in their '
        "order, or one answer per interrupt id, in any order.",
    )


@router.post(
    "/runs/{run_id}/resume",
    status_code=202,
    responses=problems(NothingToResume, AlreadyAnswered, ThreadBusy),
)
async def resume_run(
    run_id: RunId, agent: OpenAgent, who: Caller, body: ResumeBody | None = None
) -> Annotated[Json, Shape(BegunRun)]:
    """Go on with an interrupted run, in the background."""
    answers = body.resume if body else None
    return _accepted((await agent.resume(who, run_id, answers)).record)


def _accepted(record: Any) -> dict[str, Any]:
    return {"run_id": record.id, "thread_id": record.thread_id, "status": record.status}
