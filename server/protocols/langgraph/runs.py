"""`/runs` and `/threads/{id}/runs`: begun, streamed, waited for, joined, cancelled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import Header, Query, Response
from pydantic import BaseModel, Field

from core.access import Principal
from core.settings.platform import ServerSettings
from graph.agent import Agent
from graph.errors import RunEnded, RunNotFound
from graph.runs.record import RunRecord
from graph.runs.streams import Handle
from server.middleware.auth import Caller
from server.protocols.langgraph.chores import later
from server.protocols.langgraph.reading import Id, RunBody, modes_of, queried_modes
from server.protocols.langgraph.rollback import take_back
from server.protocols.langgraph.shapes import run_json, selected
from server.protocols.langgraph.starting import begin
from server.protocols.langgraph.streaming import WireResponse, place_of, waiting
from server.protocols.langgraph.words import RUN_STATUS
from server.protocols.switch import wire_router
from server.routes.common import OpenAgent

router = wire_router("langgraph", "/langgraph")

LISTED = 200
LONGEST_WAIT = 600.0
LastId = Annotated[str | None, Header(alias="Last-Event-ID")]
Status = Literal["pending", "running", "error", "success", "timeout", "interrupted"]


def _headers(run: Handle, where: str, *, stateless: bool = False) -> dict[str, str]:
    """Relative to the mount: clients put their address in front."""
    path = f"/runs/{run.id}" if stateless else f"/threads/{run.thread_id}/runs/{run.id}"
    # A stateless run is found on its thread, as long as that is there.
    return {
        "Location": f"/threads/{run.thread_id}/runs/{run.id}/{where}",
        "Content-Location": path,
        "X-Thread-ID": run.thread_id,
    }


def _discarding(agent: Agent, run: Handle, body: RunBody) -> Callable[[], None]:
    """Deletes the thread of a stateless run once it has ended, unless its caller keeps it."""

    async def discard() -> None:
        who = run.request.principal
        # One that begins later is waited for.
        while (await agent.runs.wait(who, run.id, timeout=LONGEST_WAIT)).active:
            pass
        await agent.threads.delete(who, run.thread_id)

    def begin_discarding() -> None:
        if body.on_completion != "keep":
            later(discard())

    return begin_discarding


# -- on a thread ------------------------------------------------------------------------------------


@router.post("/threads/{thread_id}/runs")
async def create(
    thread_id: Id, body: RunBody, agent: OpenAgent, who: Caller, response: Response
) -> dict[str, Any]:
    """Begin a run in the background."""
    run = await begin(agent, who, thread_id, body, background=True)
    response.headers["Content-Location"] = f"/threads/{run.thread_id}/runs/{run.id}"
    return run_json(run.record)


@router.post("/threads/{thread_id}/runs/stream")
async def stream(thread_id: Id, body: RunBody, agent: OpenAgent, who: Caller) -> Response:
    """Begin a run and stream it."""
    modes = modes_of(body.stream_mode)
    run = await begin(agent, who, thread_id, body)
    return WireResponse(agent, run, modes, stall=_stall(agent), headers=_headers(run, "stream"))


@router.post("/threads/{thread_id}/runs/wait")
async def wait(thread_id: Id, body: RunBody, agent: OpenAgent, who: Caller) -> Response:
    """Begin a run and answer with the values at its end."""
    run = await begin(agent, who, thread_id, body)
    return waiting(agent, run, _headers(run, "join"))


@router.get("/threads/{thread_id}/runs")
async def list_runs(  # noqa: PLR0917 - FastAPI gives them by name
    thread_id: Id,
    agent: OpenAgent,
    who: Caller,
    limit: Annotated[int, Query(ge=1, le=LISTED)] = 10,
    offset: Annotated[int, Query(ge=0, le=LISTED)] = 0,
    status: Status | None = None,
    select: Annotated[list[str] | None, Query()] = None,
) -> list[dict[str, Any]]:
    """The runs of a thread, the newest first, among its last 200."""
    await agent.threads.get(who, thread_id)
    found = [run_json(record) for record in await agent.runs.list(who, thread_id=thread_id, limit=LISTED)]
    fitting = [run for run in found if status in (None, run["status"])]
    return [selected(run, select) for run in fitting[offset : offset + limit]]


@router.get("/threads/{thread_id}/runs/{run_id}")
async def show(thread_id: Id, run_id: Id, agent: OpenAgent, who: Caller) -> dict[str, Any]:
    """A run."""
    return run_json(await _run(agent, who, thread_id, run_id))


@router.delete("/threads/{thread_id}/runs/{run_id}", status_code=204)
async def delete(thread_id: Id, run_id: Id, agent: OpenAgent, who: Caller) -> None:
    """Remove a run that is over; what was said stays."""
    await _run(agent, who, thread_id, run_id)
    await agent.threads.eraser.forget_run(who, run_id)


@router.get("/threads/{thread_id}/runs/{run_id}/join")
async def join(thread_id: Id, run_id: Id, agent: OpenAgent, who: Caller) -> Response:
    """The values at the end of a run."""
    await _run(agent, who, thread_id, run_id)
    run = await agent.runs.handle(who, run_id)
    return waiting(agent, run, _headers(run, "join"))


@router.get("/threads/{thread_id}/runs/{run_id}/stream")
async def join_stream(  # noqa: PLR0917 - FastAPI gives them by name
    thread_id: Id,
    run_id: Id,
    agent: OpenAgent,
    who: Caller,
    stream_mode: Annotated[list[str] | None, Query()] = None,
    cancel_on_disconnect: Annotated[str, Query(max_length=5)] = "false",
    last: LastId = None,
) -> Response:
    """A run's stream from its start, or behind the part that is named, also after its end."""
    modes, place = queried_modes(stream_mode or ()), place_of(last)
    await _run(agent, who, thread_id, run_id)
    run = await agent.runs.handle(who, run_id)
    cancels = cancel_on_disconnect.lower() in ("true", "1")
    return WireResponse(
        agent,
        run,
        modes,
        place=place,
        stall=_stall(agent),
        headers=_headers(run, "stream"),
        finished=(lambda: _cancel_later(agent, who, run_id)) if cancels else lambda: None,
    )


@router.post("/threads/{thread_id}/runs/{run_id}/cancel")
async def cancel(  # noqa: PLR0917 - FastAPI gives them by name
    thread_id: Id,
    run_id: Id,
    agent: OpenAgent,
    who: Caller,
    wait: Annotated[str, Query(max_length=5)] = "0",
    action: Literal["interrupt", "rollback"] = "interrupt",
) -> Response:
    """End a run; what it had said so far is kept, unless it is to be taken back."""
    record = await _run(agent, who, thread_id, run_id)
    if action == "rollback":
        await take_back(agent, who, record)
        return Response(status_code=204)
    await agent.runs.cancel(who, run_id)
    if wait.lower() not in ("1", "true"):
        return Response(status_code=202)
    await agent.runs.wait(who, run_id, timeout=LONGEST_WAIT)
    return Response(status_code=204)


# -- without one ------------------------------------------------------------------------------------


@router.post("/runs")
async def create_stateless(
    body: RunBody, agent: OpenAgent, who: Caller, response: Response
) -> dict[str, Any]:
    """Begin a run on a thread of its own, which goes with it."""
    run = await begin(agent, who, None, body, background=True)
    _discarding(agent, run, body)()
    response.headers["Content-Location"] = f"/runs/{run.id}"
    return run_json(run.record)


@router.post("/runs/stream")
async def stream_stateless(body: RunBody, agent: OpenAgent, who: Caller) -> Response:
    """The same, streamed."""
    modes = modes_of(body.stream_mode)
    run = await begin(agent, who, None, body)
    headers = _headers(run, "stream", stateless=True)
    finished = _discarding(agent, run, body)
    return WireResponse(agent, run, modes, stall=_stall(agent), headers=headers, finished=finished)


@router.post("/runs/wait")
async def wait_stateless(body: RunBody, agent: OpenAgent, who: Caller) -> Response:
    """The same, waited for."""
    run = await begin(agent, who, None, body)
    return waiting(agent, run, _headers(run, "join", stateless=True), _discarding(agent, run, body))


@router.post("/runs/batch")
async def batch(
    bodies: Annotated[list[RunBody], Field(min_length=1, max_length=20)], agent: OpenAgent, who: Caller
) -> list[dict[str, Any]]:
    """Begin several runs in the background, one after the other; the first that cannot begin ends it."""
    found = []
    for body in bodies:
        run = await begin(agent, who, body.thread_id, body, background=True)
        if body.thread_id is None:
            _discarding(agent, run, body)()
        found.append(run_json(run.record))
    return found


class CancelBody(BaseModel, extra="ignore"):
    """Which runs are to end: those of ids on a thread, or all with a status."""

    thread_id: Id | None = None
    run_ids: Annotated[list[Id], Field(max_length=100)] | None = None
    status: Literal["pending", "running", "all"] | None = None


@router.post("/runs/cancel", status_code=204)
async def cancel_many(
    body: CancelBody, agent: OpenAgent, who: Caller, action: Literal["interrupt", "rollback"] = "interrupt"
) -> None:
    """End several runs; those that are over are left alone."""
    if body.run_ids:
        records = [await agent.runs.get(who, run_id) for run_id in body.run_ids]
    else:
        wanted = (None, "all", body.status)
        found = await agent.runs.list(who, thread_id=body.thread_id, limit=LISTED)
        records = [run for run in found if run.active and RUN_STATUS[run.status] in (wanted[2], *_ALL(body))]
    for record in records:
        if action == "rollback":
            await take_back(agent, who, record)
        else:
            with suppress(RunEnded):
                await agent.runs.cancel(who, record.id)


def _ALL(body: CancelBody) -> tuple[str, ...]:  # noqa: N802
    return ("pending", "running") if body.status in (None, "all") else ()


# -- inside -----------------------------------------------------------------------------------------


async def _run(agent: Agent, who: Principal, thread_id: str, run_id: str) -> RunRecord:
    record = await agent.runs.get(who, run_id)
    if record.thread_id != thread_id:
        raise RunNotFound(run_id[:80])
    return record


def _stall(agent: Agent) -> float:
    return agent.book[ServerSettings].stream_stall_seconds


def _cancel_later(agent: Agent, who: Principal, run_id: str) -> None:
    async def end() -> None:
        if (await agent.runs.get(who, run_id)).active:
            await agent.runs.cancel(who, run_id)

    later(end())
