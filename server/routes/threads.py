"""Sessions of the caller. A list is a JSON list; for the next page pass the last id as `after`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from server.auth import Caller
from server.requests import ID_PATTERN
from server.routes.common import OpenAgent, problems

router = APIRouter(prefix="/threads", tags=["threads"], responses=problems(404, 422))


class NewThread(BaseModel):
    """Both may be left out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    thread_id: Annotated[str, Field(pattern=ID_PATTERN)] | None = None
    title: str = Field("", max_length=200)


class ThreadChange(BaseModel):
    """What can be changed of a thread."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: str = Field(max_length=200)


@router.get("")
async def list_threads(
    *,
    agent: OpenAgent,
    who: Caller,
    status: Annotated[str | None, Query(description="idle, running, interrupted or failed")] = None,
    q: Annotated[str | None, Query(max_length=200, description="Only titles that contain this.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
) -> list[dict[str, Any]]:
    """Your threads, the last used first."""
    return await agent.threads.list(who, status=status, q=q, limit=limit, after=after)


@router.post("", status_code=201)
async def create_thread(agent: OpenAgent, who: Caller, new: NewThread | None = None) -> dict[str, Any]:
    """A new, empty thread. One of yours that has this id already is given back as it is."""
    wanted = new or NewThread()
    return await agent.threads.create(who, thread_id=wanted.thread_id, title=wanted.title)


@router.get("/{thread_id}")
async def show_thread(thread_id: str, agent: OpenAgent, who: Caller) -> dict[str, Any]:
    """Title, status and times of a thread."""
    return await agent.threads.get(who, thread_id)


@router.patch("/{thread_id}")
async def rename_thread(
    thread_id: str, change: ThreadChange, agent: OpenAgent, who: Caller
) -> dict[str, Any]:
    """Give the thread another title."""
    return await agent.threads.rename(who, thread_id, change.title)


@router.delete("/{thread_id}", status_code=204, responses=problems(409))
async def delete_thread(thread_id: str, agent: OpenAgent, who: Caller) -> Response:
    """Remove the thread with its checkpoints, its transcript and its files."""
    await agent.threads.delete(who, thread_id)
    return Response(status_code=204)


@router.get("/{thread_id}/transcript")
async def transcript(
    thread_id: str,
    agent: OpenAgent,
    who: Caller,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[int | None, Query(ge=0, le=2**62)] = None,
) -> dict[str, Any]:
    """Every message: pages from the newest, oldest first within a page; `before` leads to the next one."""
    return await agent.threads.transcript(who, thread_id, limit=limit, before=before)


@router.get("/{thread_id}/state")
async def state(thread_id: str, agent: OpenAgent, who: Caller) -> dict[str, Any]:
    """The newest checkpoint: messages of the window, what comes next, what waits for a person."""
    return await agent.threads.state(who, thread_id)


@router.get("/{thread_id}/history")
async def history(
    thread_id: str,
    agent: OpenAgent,
    who: Caller,
    limit: Annotated[int, Query(ge=1, le=200)] = 10,
    before: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
) -> dict[str, Any]:
    """Checkpoints, newest first; `before` leads to the next page."""
    return await agent.threads.history(who, thread_id, limit=limit, before=before)
