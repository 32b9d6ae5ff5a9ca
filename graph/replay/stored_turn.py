"""What the database has of a turn that has ended: its run, what the run told, and its messages."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.types import StateSnapshot
from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.access import Principal, owns
from core.errors import Conflict, NotFound
from graph.agent import Agent
from graph.db.tables import run_events, runs
from graph.errors import RunNotFound
from graph.flow.routing import is_remark
from graph.runs.names import renewed

ENDED = ("done", "failed", "cancelled")
# Checkpoint ids tell the time of the process that made them; the clock of another may be a little behind.
_CLOCKS_SECONDS = 5.0
# 100 ns from the beginning of the calendar of UUIDs, in 1582, to that of Unix.
_UUID_EPOCH = 0x01B21DD213814000
_PAGE = 20


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A turn in pieces.

    Args:
        row: Of the table `runs`.
        events: What the run told, in order.
        before: The thread's messages ahead of the user's, as the turn found them.
        after: What the turn added behind it.
        files: The thread's files, as the turn found them and with those that came with the message.
        summary: Notes on what came before those messages.
        made: What each step wrote, each time that a checkpoint which is kept knows of, in order.
    """

    row: RowMapping
    events: Sequence[dict[str, Any]]
    before: Sequence[BaseMessage]
    question: HumanMessage
    after: Sequence[BaseMessage]
    files: Sequence[dict[str, Any]]
    summary: str = ""
    made: Sequence[tuple[str, Any]] = ()

    @property
    def request(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.row["request"]
        return found

    @property
    def uploads(self) -> list[str]:
        """Keys of the files that came with the message."""
        return [str(key) for key in self.request.get("files") or ()]

    @property
    def answers(self) -> list[AIMessage]:
        """What the model said, call by call."""
        return [m for m in self.after if isinstance(m, AIMessage) and not is_remark(m)]

    @property
    def results(self) -> list[ToolMessage]:
        """Results of this turn's calls. What a later repair made up for a call is none."""
        asked = {call["id"] for answer in self.answers for call in answer.tool_calls}
        told = {event["id"] for event in self.told("tool_result")}
        known = asked & told if self.events and self.row["status"] != "done" else asked
        return [m for m in self.after if isinstance(m, ToolMessage) and m.tool_call_id in known]

    @property
    def partial(self) -> str:
        """What a model had said when the turn ended without its whole answer."""
        text = ""
        for event in self.events if self.row["status"] != "done" else ():
            if event["type"] in {"usage", "run_started"}:
                text = ""
            elif event["type"] == "token":
                text += event["delta"]
        return text

    def told(self, kind: str) -> list[dict[str, Any]]:
        """The events of one type."""
        return [event for event in self.events if event["type"] == kind]


async def stored_turn(agent: Agent, principal: Principal, run_id: str) -> StoredTurn:
    """The turn of a run of the principal.

    Raises:
        RunNotFound: No such run, or somebody else's.
        Conflict: It has not ended.
        NotFound: The checkpoints that have its messages are no longer kept.
    """
    row = await _row(agent.engine, principal, run_id)
    first, last, made = await _checkpoints(agent, row)
    before, question, _ = _parted(first["messages"], row["message_id"])
    # The last answer takes the oldest turns out of the state: what the turn found is in its first checkpoint.
    *_, after = _parted(last["messages"], row["message_id"])
    return StoredTurn(
        row=row,
        events=await _told(agent.engine, run_id),
        before=before,
        question=question,
        after=after,
        files=first.get("files", []),
        summary=str(first.get("summary") or ""),
        made=made,
    )


async def _row(engine: AsyncEngine, principal: Principal, run_id: str) -> RowMapping:
    async with engine.connect() as db:
        row = (await db.execute(select(runs).where(runs.c.id == run_id))).mappings().first()
    if row is None or not owns(principal, row["owner"]):
        raise RunNotFound(run_id)
    if row["status"] not in ENDED:
        raise Conflict(f"run '{run_id}' is {row['status']}; only a run that has ended can be recorded")
    if row["message_id"] is None:
        raise Conflict(f"run '{run_id}' began without a message of a user; there is no turn to record")
    return row


async def _told(engine: AsyncEngine, run_id: str) -> list[dict[str, Any]]:
    query = select(run_events).where(run_events.c.run_id == run_id).order_by(run_events.c.seq)
    async with engine.connect() as db:
        rows = (await db.execute(query)).mappings().all()
    return [renewed({"type": row["type"], **orjson.loads(row["data"])}) for row in rows]


async def _checkpoints(
    agent: Agent, row: RowMapping
) -> tuple[dict[str, Any], dict[str, Any], list[tuple[str, Any]]]:
    """The values of the turn's first and last checkpoints; or of a later one that still has its messages.

    Third, what steps wrote between them.
    """
    message_id = row["message_id"]
    snapshots = [found async for found in _between(agent, row) if _has(found.values, message_id)]
    having = [snapshot.values for snapshot in snapshots]
    if not having:
        newest = await agent.graph.aget_state({"configurable": {"thread_id": row["thread_id"]}})
        having = [newest.values] if _has(newest.values, message_id) else []
    if not having:
        raise NotFound(
            f"no checkpoint that is kept has the message of run '{row['id']}'; it cannot be recorded"
        )
    of_turn = [values for values in having if _last_question(values["messages"]) == message_id]
    if not of_turn:
        return having[0], having[0], []
    mine = [s for s in reversed(snapshots) if _last_question(s.values["messages"]) == message_id]
    made = [(task.name, task.result or {}) for s in mine for task in s.tasks]
    return of_turn[-1], of_turn[0], made


async def _between(agent: Agent, row: RowMapping) -> AsyncIterator[StateSnapshot]:
    """The thread's checkpoints from the end of the run back to its beginning."""
    thread: dict[str, Any] = {"thread_id": row["thread_id"]}
    before = _id_at(row["ended_at"] + _CLOCKS_SECONDS)
    begun = _id_at(row["created_at"] - _CLOCKS_SECONDS)
    while before > begun:
        older: Any = {"configurable": {**thread, "checkpoint_id": before}}
        history = agent.graph.aget_state_history({"configurable": thread}, before=older, limit=_PAGE)
        # Collected before anything else happens: a paused iterator blocks every thread on SQLite.
        page = [snapshot async for snapshot in history]
        for snapshot in page:
            yield snapshot
        if len(page) < _PAGE:
            return
        before = str(page[-1].config["configurable"]["checkpoint_id"])


def _has(values: Mapping[str, Any], message_id: str) -> bool:
    return any(isinstance(m, HumanMessage) and m.id == message_id for m in values.get("messages", []))


def _id_at(seconds: float) -> str:
    """The least id that a checkpoint of that time may have: UUIDs of version 6 sort by their time."""
    ticks = int(seconds * 10_000_000) + _UUID_EPOCH
    return str(uuid.UUID(int=(ticks >> 12) << 80 | 6 << 76 | (ticks & 0xFFF) << 64 | 0b10 << 62))


def _last_question(messages: Sequence[BaseMessage]) -> str | None:
    return next((m.id for m in reversed(messages) if isinstance(m, HumanMessage)), None)


def _parted(
    messages: Sequence[BaseMessage], message_id: str
) -> tuple[list[BaseMessage], HumanMessage, list[BaseMessage]]:
    """What stands before the turn's message, the message, and what follows up to the next turn."""
    humans = [(i, m) for i, m in enumerate(messages) if isinstance(m, HumanMessage)]
    start, question = next((i, m) for i, m in humans if m.id == message_id)
    end = next((i for i, _ in humans if i > start), len(messages))
    return list(messages[:start]), question, list(messages[start + 1 : end])
