"""`/threads`: made, found, changed, copied, and their state in the course of time."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import Header, Query, Response
from pydantic import BaseModel, Field

from core.access import Principal
from core.errors import Conflict
from graph.agent import Agent
from graph.errors import ThreadNotFound
from graph.threads.finder import SortBy, ThreadQuery
from server.errors import InvalidRequest
from server.middleware.auth import Caller
from server.protocols.langgraph.reading import Id, checkpoint_in
from server.protocols.langgraph.shapes import OURS, checkpoint_json, selected, state_json, thread_json
from server.protocols.langgraph.starting import state_values
from server.protocols.langgraph.words import OUR_STATUS, NotOffered, error_json
from server.protocols.switch import wire_router
from server.routes.common import OpenAgent

router = wire_router("langgraph", "/langgraph/threads")

Status = Literal["idle", "busy", "interrupted", "error"]
Notes = dict[str, Any]
MOST = 200


class ThreadExists(Conflict):
    """A thread of this id is there already, and the caller did not say that this is fine."""

    code = "thread_exists"
    title = "There is such a thread already"


class NewThread(BaseModel, extra="ignore"):
    """A thread as the SDK makes it."""

    thread_id: Id | None = None
    metadata: Notes | None = None
    if_exists: Literal["raise", "do_nothing"] | None = None
    supersteps: list[Any] | None = None
    ttl: Any = None


@router.post("")
async def create(body: NewThread, agent: OpenAgent, who: Caller) -> dict[str, Any]:
    """A new thread, under an id of the client's or a fresh one."""
    if body.supersteps:
        raise NotOffered("supersteps are not served; import a thread with POST /threads/import")
    minutes = _minutes(body.ttl)
    if body.thread_id and body.if_exists != "do_nothing" and await _is_there(agent, who, body.thread_id):
        raise ThreadExists(f"thread '{body.thread_id}' is there; send if_exists=do_nothing to get it")
    row = await agent.threads.create(who, thread_id=body.thread_id or str(uuid4()), notes=_own(body.metadata))
    if minutes is not None:
        await agent.threads.keep(who, row["id"], minutes)
    return thread_json(row)


async def _is_there(agent: Agent, who: Principal, thread_id: str) -> bool:
    try:
        await agent.threads.get(who, thread_id)
    except ThreadNotFound:
        return False
    return True


def _own(notes: Notes | None) -> Notes:
    """What is noted beside that which is true of every thread."""
    return {name: value for name, value in (notes or {}).items() if OURS.get(name) != value}


def _minutes(ttl: Any) -> float | None:
    """Minutes behind its last use for which a thread is kept, from a number or `{"ttl", "strategy"}`."""
    if ttl is None:
        return None
    given = ttl if isinstance(ttl, dict) else {"ttl": ttl}
    if given.get("strategy", "delete") != "delete":
        raise NotOffered("ttl.strategy: only 'delete' is served; threads.checkpoint_turns keeps the newest")
    minutes = given.get("ttl")
    if isinstance(minutes, bool) or not isinstance(minutes, int | float):
        raise InvalidRequest('ttl: must be minutes, or {"ttl": minutes, "strategy": "delete"}')
    return minutes


class ThreadFilter(BaseModel, extra="ignore"):
    """Which threads are looked for."""

    metadata: Notes | None = None
    values: Notes | None = None
    ids: Annotated[list[Id], Field(max_length=MOST)] | None = None
    status: Status | None = None

    def wanted(self) -> ThreadQuery:
        """The same for `ThreadFinder`."""
        if self.values:
            raise NotOffered("threads are not found by their values; use metadata or GET /search")
        status = OUR_STATUS[self.status] if self.status else None
        return ThreadQuery(status=status, notes=_own(self.metadata), ids=self.ids)


class Search(ThreadFilter):
    """A page of them."""

    limit: int = Field(10, ge=1, le=MOST)
    offset: int = Field(0, ge=0, le=2**31 - 1)
    sort_by: SortBy | Literal["state_updated_at"] | None = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[str] | None = None
    extract: dict[str, str] | None = None


@router.post("/search")
async def search(body: Search, agent: OpenAgent, who: Caller, response: Response) -> list[dict[str, Any]]:
    """The threads that fit, the last used first."""
    if body.extract:
        raise NotOffered("extract is not served; use select")
    wanted = body.wanted()
    sort = "updated_at" if body.sort_by in (None, "state_updated_at") else body.sort_by
    rows = await agent.threads.finder.page(
        who,
        wanted,
        sort_by=sort,  # type: ignore[arg-type]  # the one other word was taken out above
        descending=body.sort_order != "asc",
        limit=body.limit,
        offset=body.offset,
    )
    total = await agent.threads.finder.count(who, wanted)
    response.headers["X-Pagination-Total"] = str(total)
    if body.offset + len(rows) < total:
        response.headers["X-Pagination-Next"] = str(body.offset + len(rows))
    return [selected(await _whole(agent, who, row, body.select), body.select) for row in rows]


async def _whole(
    agent: Agent, who: Principal, row: dict[str, Any], select: list[str] | None = None
) -> dict[str, Any]:
    reads = not select or any(name.partition(".")[0] in ("values", "interrupts") for name in select)
    found = thread_json(row, await agent.threads.checkpoints.at(who, row["id"]) if reads else None)
    if row["status"] == "failed":
        last = await agent.runs.list(who, thread_id=row["id"], status="failed", limit=1)
        found["error"] = error_json(last[0].error) if last and last[0].error else None
    return found


@router.post("/count")
async def count(body: ThreadFilter, agent: OpenAgent, who: Caller) -> int:
    """How many threads fit."""
    return await agent.threads.finder.count(who, body.wanted())


class Pruned(BaseModel, extra="ignore"):
    """Threads that are to go."""

    thread_ids: Annotated[list[Id], Field(max_length=100)]
    strategy: Literal["delete", "keep_latest"] = "delete"


@router.post("/prune")
async def prune(body: Pruned, agent: OpenAgent, who: Caller) -> dict[str, Any]:
    """Delete several threads."""
    if body.strategy != "delete":
        raise NotOffered("strategy 'keep_latest' is not served; threads.checkpoint_turns keeps the newest")
    for thread_id in body.thread_ids:
        await agent.threads.delete(who, thread_id)
    return {"pruned_count": len(body.thread_ids)}


@router.get("/{thread_id}")
async def show(thread_id: Id, agent: OpenAgent, who: Caller) -> dict[str, Any]:
    """A thread with its values."""
    return await _whole(agent, who, await agent.threads.get(who, thread_id))


class ThreadPatch(BaseModel, extra="ignore"):
    """What is noted from now on."""

    metadata: Notes | None = None
    ttl: Any = None


@router.patch("/{thread_id}")
async def change(
    thread_id: Id,
    body: ThreadPatch,
    agent: OpenAgent,
    who: Caller,
    prefer: Annotated[str | None, Header(max_length=100)] = None,
) -> Any:
    """Add to what is noted about a thread; `title` is its title everywhere."""
    minutes = _minutes(body.ttl)
    if minutes is not None:
        await agent.threads.keep(who, thread_id, minutes)
    notes = _own(body.metadata)
    title = notes.pop("title", None)
    if title is not None and not isinstance(title, str):
        raise InvalidRequest("metadata.title: must be text")
    row = await agent.threads.change(who, thread_id, title=title, notes=notes)
    if prefer == "return=minimal":
        return Response(status_code=204)
    return thread_json(row)


@router.delete("/{thread_id}", status_code=204)
async def delete(thread_id: Id, agent: OpenAgent, who: Caller) -> None:
    """Delete a thread with all that belongs to it."""
    await agent.threads.delete(who, thread_id)


@router.post("/{thread_id}/copy")
async def copy(thread_id: Id, agent: OpenAgent, who: Caller) -> dict[str, Any]:
    """A copy of a thread as it stands."""
    notes = (await agent.threads.get(who, thread_id))["metadata"]
    made = await agent.threads.fork(who, thread_id)
    row = await agent.threads.change(who, made["id"], notes=notes)
    return thread_json(row)


# -- state ------------------------------------------------------------------------------------------

Select = Annotated[list[str] | None, Query()]


async def _state(agent: Agent, who: Principal, thread_id: str, at: str | None) -> dict[str, Any]:
    snapshot = await agent.threads.checkpoints.at(who, thread_id, at)
    return state_json(thread_id, snapshot, await agent.threads.checkpoints.before(thread_id, snapshot))


@router.get("/{thread_id}/state")
async def state(thread_id: Id, agent: OpenAgent, who: Caller, select: Select = None) -> dict[str, Any]:
    """The state of now."""
    return selected(await _state(agent, who, thread_id, None), select)


@router.get("/{thread_id}/state/{checkpoint_id}")
async def state_at(
    thread_id: Id, checkpoint_id: Id, agent: OpenAgent, who: Caller, select: Select = None
) -> dict[str, Any]:
    """The state at a checkpoint."""
    return selected(await _state(agent, who, thread_id, checkpoint_id), select)


class StateQuery(BaseModel, extra="ignore"):
    """Which state."""

    checkpoint: Any = None
    select: list[str] | None = None


@router.post("/{thread_id}/state/checkpoint")
async def state_at_checkpoint(
    thread_id: Id, body: StateQuery, agent: OpenAgent, who: Caller
) -> dict[str, Any]:
    """The state at a checkpoint, as a state names it."""
    return selected(await _state(agent, who, thread_id, checkpoint_in(body.checkpoint)), body.select)


class StateChange(BaseModel, extra="ignore"):
    """What is written into the state."""

    values: Any = None
    as_node: str | None = Field(None, max_length=100)
    checkpoint: Any = None
    checkpoint_id: str | None = Field(None, max_length=64)


@router.post("/{thread_id}/state")
async def change_state(thread_id: Id, body: StateChange, agent: OpenAgent, who: Caller) -> dict[str, Any]:
    """Write into the state as a step would, the newest or an older one."""
    await agent.threads.get(who, thread_id)
    values = _values(body.values)
    if body.as_node is not None and body.as_node not in agent.graph.nodes:
        raise InvalidRequest(f"as_node: no step '{body.as_node}'; one of {', '.join(agent.graph.nodes)}")
    at = checkpoint_in(body.checkpoint) or checkpoint_in(body.checkpoint_id or None)
    made = await agent.change(who, thread_id, values, as_node=body.as_node, checkpoint_id=at)
    place = made.get("configurable", {})
    checkpoint = checkpoint_json(thread_id, place.get("checkpoint_id"))
    return {"checkpoint": checkpoint, "configurable": checkpoint, "checkpoint_id": place.get("checkpoint_id")}


def _values(given: Any) -> dict[str, Any] | None:
    if given is None:
        return None
    if isinstance(given, list):
        # Several writes of one step come as a list.
        given = {name: value for one in given if isinstance(one, dict) for name, value in one.items()}
    if not isinstance(given, dict):
        raise InvalidRequest("values: must be an object such as {'messages': [...]}")
    return state_values(given)


class HistoryQuery(BaseModel, extra="ignore"):
    """Which part of the history."""

    limit: int = Field(10, ge=1, le=MOST)
    before: Any = None
    checkpoint: Any = None
    metadata: Notes | None = None
    select: list[str] | None = None


@router.post("/{thread_id}/history")
async def history(thread_id: Id, body: HistoryQuery, agent: OpenAgent, who: Caller) -> list[dict[str, Any]]:
    """The states of every branch, few for each turn, the newest first."""
    before = checkpoint_in(body.before)
    return await _history(agent, who, thread_id, body, before)


@router.get("/{thread_id}/history")
async def history_by_query(
    thread_id: Id,
    agent: OpenAgent,
    who: Caller,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 10,
    before: Annotated[str | None, Query(max_length=64)] = None,
) -> list[dict[str, Any]]:
    """The same."""
    return await _history(agent, who, thread_id, HistoryQuery(limit=limit), checkpoint_in(before))


async def _history(
    agent: Agent, who: Principal, thread_id: str, body: HistoryQuery, before: str | None
) -> list[dict[str, Any]]:
    found = await agent.threads.checkpoints.page(who, thread_id, limit=body.limit, before=before)
    states = [state_json(thread_id, shown.snapshot, shown.parent) for shown in found]
    wanted = (body.metadata or {}).items()
    fitting = [one for one in states if all(one["metadata"].get(name) == value for name, value in wanted)]
    return [selected(one, body.select) for one in fitting]
