"""How a run of this wire begins: on which thread, from which checkpoint, and in whose place."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

from core.access import Principal
from core.foreign import is_answer
from graph.agent import Agent
from graph.errors import NothingToResume, RunEnded, ThreadNotFound
from graph.runs.record import OnBusy, TurnRequest
from graph.runs.streams import Handle
from server.errors import InvalidRequest
from server.protocols.langgraph.chores import later
from server.protocols.langgraph.reading import RunBody, RunInput, check_served, kind_of, request_of, said_in
from server.protocols.langgraph.rollback import forget, place_before, running_on, take_back
from server.protocols.langgraph.words import check_assistant

_STRATEGY: dict[str | None, OnBusy] = {"reject": "reject", "enqueue": "enqueue", "interrupt": "interrupt"}


async def begin(
    agent: Agent, who: Principal, thread_id: str | None, body: RunBody, *, background: bool = False
) -> Handle:
    """Begin the run, on a new thread where none is named.

    Raises:
        WaystationError: It cannot begin; nothing was stored.
    """
    check_assistant(body.assistant_id)
    check_served(body)
    row = await _thread(agent, who, thread_id, body)
    thread = row["id"] if row else thread_id or str(uuid4())
    command = body.command
    if command and command.resume is not None:
        return await _answered(agent, who, thread, command.resume)
    if command and command.update is not None:
        await agent.change(who, thread, _update(command.update))
    said = None if command else said_in(body.input)
    if said is None and row is None:
        raise InvalidRequest("input: a new thread begins with a message")
    # A question that is open is no run that goes on: here a message takes its place, whatever the strategy.
    waits = row is not None and row["status"] == "interrupted"
    on_busy = "interrupt" if waits else _STRATEGY.get(body.multitask_strategy, "enqueue")
    request = request_of(who, thread, body, said, on_busy=on_busy, background=background)
    request = await _placed(agent, request, body.at, has_row=row is not None)
    if said and said.before:
        await _seeded(agent, who, thread, said)
    if row is not None and body.multitask_strategy == "rollback" and row["status"] == "running":
        return await _instead(agent, request)
    return await agent.begin(request)


async def _instead(agent: Agent, request: TurnRequest) -> Handle:
    """In the place of the run that goes on, which is taken back."""
    who, thread_id = request.principal, request.thread_id
    assert thread_id is not None  # noqa: S101 - it was made above
    found = await running_on(agent, who, thread_id)
    if found is None:
        return await agent.begin(request)
    place = request.checkpoint or await place_before(agent, who, found)
    if place is None:
        # Nothing of a thread's first run is stored yet, and what is on its way comes before the end.
        await take_back(agent, who, found)
        return await agent.begin(request)
    run = await agent.begin(replace(request, checkpoint=place, on_busy="interrupt"))
    # Nothing of it stays: its next checkpoint is not worth waiting for.
    with suppress(RunEnded):
        await agent.runs.cancel(who, found.id)
    later(forget(agent, who, found.id))
    return run


async def _thread(
    agent: Agent, who: Principal, thread_id: str | None, body: RunBody
) -> dict[str, Any] | None:
    if thread_id is None:
        return None
    try:
        return await agent.threads.get(who, thread_id)
    except ThreadNotFound:
        if body.if_not_exists != "create":
            raise
        return None


async def _answered(agent: Agent, who: Principal, thread_id: str, answer: object) -> Handle:
    if not is_answer(answer):
        raise InvalidRequest("command.resume: is empty; send the answer to what waits")
    return await agent.begin(TurnRequest(who, thread_id=thread_id, resume=answer, detailed=True))


async def _placed(agent: Agent, request: TurnRequest, at: str | None, *, has_row: bool) -> TurnRequest:
    """From an older checkpoint, where the client names one that is not the newest."""
    if not has_row:
        return request
    assert request.thread_id is not None  # noqa: S101 - it was made above
    if at is not None and at != await agent.threads.checkpoints.newest(request.principal, request.thread_id):
        return replace(request, checkpoint=at)
    if request.goes_on:
        snapshot = await agent.threads.checkpoints.at(request.principal, request.thread_id)
        if not snapshot.next:
            raise NothingToResume(
                "nothing is left to do there; send a message, or a checkpoint to go on from"
            )
    return request


def _update(given: Any) -> dict[str, Any]:
    pairs = given if isinstance(given, dict) else dict(given) if _is_pairs(given) else None
    if pairs is None:
        raise InvalidRequest("command.update: must be an object, or pairs of a channel and its value")
    return state_values(pairs)


def _is_pairs(given: Any) -> bool:
    pairs: Sequence[Any] = given if isinstance(given, list) else []
    return bool(pairs) and all(isinstance(p, list) and len(p) == 2 and isinstance(p[0], str) for p in pairs)


# What only a turn makes, and files, which are uploaded and checked by their owner.
_NOT_WRITTEN = frozenset({"config", "documents", "artifacts", "summary", "files"})


def state_values(given: dict[str, Any]) -> dict[str, Any]:
    """Values that a client may write into a thread's state.

    Raises:
        InvalidRequest: It may not write there.
    """
    if wrong := sorted(_NOT_WRITTEN & given.keys()):
        raise InvalidRequest(f"values.{wrong[0]}: is not written from outside; 'messages' is")
    return given


async def _seeded(agent: Agent, who: Principal, thread_id: str, said: RunInput) -> None:
    """Put what was said before the message into the thread, where it is not known there."""
    known: set[str] = set()
    try:
        snapshot = await agent.threads.checkpoints.at(who, thread_id)
        known = {str(message.id) for message in snapshot.values.get("messages") or ()}
    except ThreadNotFound:
        pass
    missing = [
        message for message in said.before if not (isinstance(message, dict) and message.get("id") in known)
    ]
    # Results alone answer calls of ours, which are answered by what was really done.
    if any(kind_of(message) != "tool" for message in missing):
        await agent.seed(who, thread_id, missing)
