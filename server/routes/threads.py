"""Sessions of the caller. A list is a JSON list; for the next page pass the last `cursor` as `after`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from graph.errors import ThreadBusy, ThreadNotFound
from graph.threads.history.errors import CheckpointNotFound
from server.errors import InvalidRequest
from server.middleware.auth import Caller
from server.requests import ID_PATTERN
from server.routes.common import After, OpenAgent, link_next, problems
from server.routes.transfer import router as transfer
from server.shapes.form import Json, Shape
from server.shapes.threads import (
    Checkpoints,
    FoundMessage,
    LinePoint,
    ListedThread,
    Thread,
    ThreadDifference,
    ThreadState,
    Transcript,
)

router = APIRouter(prefix="/threads", tags=["threads"], responses=problems(ThreadNotFound, InvalidRequest))

_AT_CHECKPOINT = (ThreadNotFound, CheckpointNotFound)
CheckpointId = Annotated[str, Field(pattern=ID_PATTERN)]


class NewThread(BaseModel, extra="forbid", strict=True):
    """Both may be left out."""

    thread_id: Annotated[str, Field(pattern=ID_PATTERN)] | None = None
    title: str = Field("", max_length=200)


class ThreadChange(BaseModel, extra="forbid", strict=True):
    """What can be changed of a thread; what is left out stays."""

    title: str | None = Field(None, max_length=200)
    tags: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=50)] | None = Field(
        None, description="Instead of those that it has: at most 20, of 1 to 40 characters each."
    )


class ForkPoint(BaseModel, extra="forbid", strict=True):
    """Where the fork begins."""

    checkpoint_id: CheckpointId | None = Field(
        None, description="From /threads/{id}/history; by default where the thread is now."
    )


@router.get("")
async def list_threads(
    *,
    request: Request,
    response: Response,
    agent: OpenAgent,
    who: Caller,
    status: Annotated[str | None, Query(description="idle, running, interrupted or failed")] = None,
    q: Annotated[str | None, Query(max_length=200, description="Only titles that contain this.")] = None,
    tag: Annotated[str | None, Query(max_length=100, description="Only threads with this tag.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: After = None,
) -> Annotated[list[Json], Shape(list[ListedThread])]:
    """Your threads, the last used first. `waiting` lists the questions to you that a thread waits with."""
    found = await agent.threads.list(who, status=status, q=q, tag=tag, limit=limit, after=after)
    link_next(request, response, found, limit)
    return found


@router.post("", status_code=201)
async def create_thread(
    agent: OpenAgent, who: Caller, new: NewThread | None = None
) -> Annotated[Json, Shape(Thread)]:
    """A new, empty thread. One of yours that has this id already is given back as it is."""
    wanted = new or NewThread()
    return await agent.threads.create(who, thread_id=wanted.thread_id, title=wanted.title)


# Before the routes with an id: "search" may be one.
@router.get("/search")
async def search_threads(
    agent: OpenAgent,
    who: Caller,
    q: Annotated[str, Query(min_length=1, max_length=200, description='Words, "words together", word*.')],
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
    after: Annotated[int | None, Query(ge=0, le=2**62, description="`seq` of the last hit.")] = None,
) -> Annotated[list[Json], Shape(list[FoundMessage])]:
    """Messages in your threads that have every word, the newest first; `marks` are places in `snippet`."""
    return await agent.threads.search(who, q, limit=limit, after=after)


@router.get("/{thread_id}")
async def show_thread(thread_id: str, agent: OpenAgent, who: Caller) -> Annotated[Json, Shape(Thread)]:
    """Title, tags, status and times of a thread, and what it waits for."""
    return await agent.threads.get(who, thread_id)


@router.patch("/{thread_id}")
async def change_thread(
    thread_id: str, change: ThreadChange, agent: OpenAgent, who: Caller
) -> Annotated[Json, Shape(Thread)]:
    """Give the thread another title, or other tags."""
    return await agent.threads.change(who, thread_id, title=change.title, tags=change.tags)


@router.delete("/{thread_id}", status_code=204, responses=problems(ThreadBusy))
async def delete_thread(thread_id: str, agent: OpenAgent, who: Caller) -> Response:
    """Remove the thread with all that belongs to it: messages, checkpoints, runs, files that tools made."""
    await agent.threads.delete(who, thread_id)
    return Response(status_code=204)


@router.get("/{thread_id}/transcript")
async def transcript(
    thread_id: str,
    agent: OpenAgent,
    who: Caller,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[int | None, Query(ge=0, le=2**62)] = None,
) -> Annotated[Json, Shape(Transcript)]:
    """Every message: pages from the newest, oldest first within a page; `before` leads to the next one."""
    return await agent.threads.transcript(who, thread_id, limit=limit, before=before)


@router.get("/{thread_id}/state", responses=problems(*_AT_CHECKPOINT))
async def state(
    thread_id: str,
    agent: OpenAgent,
    who: Caller,
    checkpoint_id: Annotated[
        str | None, Query(pattern=ID_PATTERN, description="By default the newest.")
    ] = None,
) -> Annotated[Json, Shape(ThreadState)]:
    """A checkpoint: messages of the window, what comes next, what waits for a person."""
    return await agent.threads.state(who, thread_id, checkpoint_id=checkpoint_id)


@router.get("/{thread_id}/history")
async def history(
    thread_id: str,
    agent: OpenAgent,
    who: Caller,
    limit: Annotated[int, Query(ge=1, le=200)] = 10,
    before: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
) -> Annotated[Json, Shape(Checkpoints)]:
    """Checkpoints, newest first; `before` leads to the next page."""
    return await agent.threads.history(who, thread_id, limit=limit, before=before)


@router.get("/{thread_id}/line")
async def line(
    thread_id: str,
    agent: OpenAgent,
    who: Caller,
    limit: Annotated[int, Query(ge=1, le=2000)] = 200,
    before: Annotated[
        str | None, Query(pattern=ID_PATTERN, description="Only those older than this checkpoint.")
    ] = None,
) -> Annotated[list[Json], Shape(list[LinePoint])]:
    """The thread's course with its branches: checkpoints that tell it, newest first, each with its parent.

    Two with the same parent are branches. What each holds: `/state` and `/diff`.
    """
    return await agent.threads.checkpoints.line(who, thread_id, limit=limit, before=before)


@router.get("/{thread_id}/diff", responses=problems(*_AT_CHECKPOINT))
async def diff(  # noqa: PLR0917 - FastAPI gives them by name
    thread_id: str,
    agent: OpenAgent,
    who: Caller,
    from_id: Annotated[
        str | None, Query(alias="from", pattern=ID_PATTERN, description="By default the one before `to`.")
    ] = None,
    to_id: Annotated[
        str | None, Query(alias="to", pattern=ID_PATTERN, description="By default the newest.")
    ] = None,
    other: Annotated[
        str | None,
        Query(pattern=ID_PATTERN, description="Another thread that `to` belongs to, such as a fork."),
    ] = None,
) -> Annotated[Json, Shape(ThreadDifference)]:
    """What differs between two checkpoints: messages, files, other channels, what comes next, questions."""
    return await agent.threads.diff(who, thread_id, from_id=from_id, to_id=to_id, other=other)


@router.post("/{thread_id}/fork", status_code=201, responses=problems(*_AT_CHECKPOINT))
async def fork(
    thread_id: str, agent: OpenAgent, who: Caller, point: ForkPoint | None = None
) -> Annotated[Json, Shape(Thread)]:
    """A new thread that goes on from a checkpoint of this one, which stays as it is."""
    wanted = point or ForkPoint()
    return await agent.threads.fork(who, thread_id, checkpoint_id=wanted.checkpoint_id)


router.include_router(transfer)
