"""Questions to a person across their threads: those that wait, and what was decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, func, select, tuple_
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.access import Principal, owner_seen_by
from core.cursor import cursor, place_of
from graph.db.tables import runs, threads
from graph.flow.state import time_of
from graph.runs.decided import APPROVAL
from graph.runs.names import renewed_question

WAITING, DECIDED = "question", "decision"
_SHOWN = (
    threads.c.id,
    threads.c.title,
    threads.c.waiting,
    threads.c.updated_at,
    runs.c.id.label("run_id"),
)


class Questions:
    """Reads what threads and runs of the database at `engine` say of questions."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def waiting(
        self, principal: Principal, *, limit: int = 50, after: str | None = None
    ) -> list[dict[str, Any]]:
        """Questions that the principal may answer, those of the thread that asked last first.

        Args:
            limit: Threads, each of which may have several questions.
            after: `cursor` of the last question of the page before.
        """
        asked = (runs.c.thread_id == threads.c.id) & (runs.c.status == "interrupted")
        query = (
            select(*_SHOWN)
            .select_from(threads.outerjoin(runs, asked & (runs.c.reason == "person")))
            .where(_waits(principal))
        )
        if after is not None:
            query = query.where(tuple_(threads.c.updated_at, threads.c.id) < place_of(WAITING, after))
        query = query.order_by(threads.c.updated_at.desc(), threads.c.id.desc()).limit(limit)
        async with self._engine.connect() as db:
            rows = (await db.execute(query)).mappings().all()
        return [each for row in rows for each in _questions(row)]

    async def count(self, principal: Principal) -> int:
        """How many questions wait for the principal."""
        number = func.coalesce(func.sum(func.json_array_length(threads.c.waiting)), 0)
        async with self._engine.connect() as db:
            return int((await db.execute(select(number).where(_waits(principal)))).scalar_one())

    async def decided(
        self, principal: Principal, *, limit: int = 50, after: str | None = None
    ) -> list[dict[str, Any]]:
        """What the principal decided about: calls of tools, and questions; those of the newest run first.

        Args:
            limit: Runs, each of which may have several.
            after: `cursor` of the last one of the page before.
        """
        answered: Any = runs.c.request["answered"]
        columns = (runs.c.id, runs.c.thread_id, runs.c.output, runs.c.created_at, runs.c.ended_at)
        told = runs.c.request["decided"].label("told")
        query = (
            select(*columns, told, threads.c.title)
            .join(threads, threads.c.id == runs.c.thread_id)
            .where(runs.c.owner == owner_seen_by(principal), answered.as_string().is_not(None))
        )
        if after is not None:
            query = query.where(tuple_(runs.c.created_at, runs.c.id) < place_of(DECIDED, after))
        query = query.order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit)
        async with self._engine.connect() as db:
            rows = (await db.execute(query)).mappings().all()
        return [each for row in rows for each in _decisions(row)]


def _waits(principal: Principal) -> ColumnElement[bool]:
    mine = threads.c.owner == owner_seen_by(principal)
    return mine & (threads.c.status == "interrupted") & threads.c.waiting.is_not(None)


def _questions(row: RowMapping) -> Iterator[dict[str, Any]]:
    place = cursor(WAITING, row["updated_at"], row["id"])
    for question in row["waiting"] or ():
        yield {
            "thread_id": row["id"],
            "thread_title": row["title"],
            "run_id": row["run_id"],
            "asked_at": time_of(row["updated_at"]),
            "question": renewed_question(question),
            "cursor": place,
        }


def _decisions(row: RowMapping) -> Iterator[dict[str, Any]]:
    output: Mapping[str, Any] = row["output"] or {}
    calls = {call["id"]: call for call in output.get("tool_calls") or () if call.get("decision")}
    run = {
        "thread_id": row["thread_id"],
        "thread_title": row["title"],
        "run_id": row["id"],
        "ended_at": None if row["ended_at"] is None else time_of(row["ended_at"]),
    }
    place = {"cursor": cursor(DECIDED, row["created_at"], row["id"])}
    for entry in row["told"] or ():
        known = calls.pop((entry.get("call") or {}).get("id"), None) if entry["kind"] == APPROVAL else None
        yield {**run, **(_of_call(known) if known else {}), **_told(entry, known), **place}
    # Of runs of earlier releases, only what their calls say is known.
    for call in calls.values():
        yield {**run, **_of_call(call), "kind": APPROVAL, **place}


def _of_call(call: Mapping[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in call.items() if key != "decision"}
    return {"call": shown, "decision": call["decision"]}


def _told(entry: Mapping[str, Any], known: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the run's own list says of a decision; of a call that has ended, only when it was decided."""
    at = {"at": time_of(entry["at"])}
    if known:
        return {"kind": entry["kind"], "decision": {**known["decision"], **at}}
    decision = {name: entry[name] for name in ("type", "by", "fields") if name in entry}
    return {
        "kind": entry["kind"],
        "call": entry.get("call"),
        "detail": entry.get("detail"),
        "decision": {**decision, **at},
    }
