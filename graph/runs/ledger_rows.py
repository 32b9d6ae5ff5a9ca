"""Rows of the ledger of runs: how one begins and ends, as statements inside of somebody's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core.database.engine import insert_new, now_of
from core.events.deliveries import delivery_row
from core.events.tables import webhook_deliveries
from core.foreign import as_bytes
from graph.db.tables import runs, said, threads, transcript
from graph.runs.events.log import Entry
from graph.runs.events.store import store
from graph.runs.lease import Turn
from graph.runs.record import SEQ_BLOCK, Policy, RunRecord, TurnRequest
from graph.runs.reply import bare_reply

RUN_ENDED = "run.ended"


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run as it is asked for. `queue_limit` is how many may wait for one thread."""

    id: str
    thread_id: str
    message_id: str
    request: TurnRequest
    policy: Policy
    queue_limit: int
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Seat:
    """A run and, when it may go on in this process now, the thread that was taken for it.

    Args:
        floor: The last event number that earlier attempts may have told.
        repeated: The run was there already: the same key was sent before.
        nudge: A run that goes on elsewhere has been asked to stop.
    """

    record: RunRecord
    turn: Turn | None = None
    floor: int = 0
    repeated: bool = False
    nudge: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended, all of it written in one transaction.

    Args:
        thread_status: What the thread shows from now on.
        waiting: Questions to a person that wait now.
        events: What the database does not have yet, the last event among them.
        messages: Rows for the transcript.
        has_calls: Tools were called: there are receipts, which a clean end needs no more.
        again: The run is not over: it waits to be gone on with, by whoever can.
    """

    status: str
    thread_status: str
    reason: str = ""
    clean: bool = False
    has_calls: bool = False
    again: bool = False
    waiting: list[dict[str, Any]] | None = None
    output: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    events: Sequence[Entry] = ()
    messages: Sequence[dict[str, Any]] = field(default_factory=list)


async def tell(
    db: AsyncConnection, thread_id: str, run_id: str, message_id: str, request: TurnRequest
) -> None:
    """Put the user's message into the transcript, once."""
    row = {
        "thread_id": thread_id,
        "message_id": message_id,
        "role": "user",
        **said(request.message),
        "extra": {"files": list(request.files)} if request.files else {},
        "run_id": run_id,
        "created_at": now_of(db),
    }
    await insert_new(db, transcript, row)


async def places(db: AsyncConnection, thread_id: str) -> Sequence[float]:
    query = select(runs.c.place).where(runs.c.thread_id == thread_id, runs.c.status == "queued")
    return list((await db.execute(query)).scalars())


async def supersede(db: AsyncConnection, thread_id: str) -> None:
    waiting = (runs.c.thread_id == thread_id) & (runs.c.status == "interrupted") & (runs.c.reason == "person")
    values = {"status": "cancelled", "reason": "superseded", "ended_at": now_of(db)}
    await db.execute(update(runs).where(waiting).values(values))


async def cancel_here(db: AsyncConnection, row: RowMapping | None, kept: RowMapping) -> None:
    if row and kept["status"] == "interrupted" and kept["reason"] == "person":
        idle = update(threads).where(threads.c.id == row["id"], threads.c.run_id.is_(None))
        await db.execute(idle.values(status="idle", waiting=None))
    await end_here(db, kept, status="cancelled", reason="asked")


async def announce(
    db: AsyncConnection, row: RowMapping, *, status: str, reason: str, output: Any = None, error: Any = None
) -> None:
    """Keep what the run's webhook is told of its end, for the task queue to deliver."""
    if not row["webhook"]:
        return
    at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    shown = {"run_id": row["id"], "thread_id": row["thread_id"], "status": status, "reason": reason}
    body = {"type": RUN_ENDED, "timestamp": at, "data": {**shown, "output": output, "error": error}}
    url = row["webhook"] if "://" in row["webhook"] else None
    hook = "run" if url else row["webhook"]
    await insert_new(
        db,
        webhook_deliveries,
        delivery_row(hook, RUN_ENDED, as_bytes(body), now=now_of(db), url=url),
    )


async def end_here(
    db: AsyncConnection, kept: RowMapping, *, status: str, reason: str, answer: str = ""
) -> None:
    """End a run that nobody executes, with its last event."""
    output = bare_reply(kept["thread_id"], kept["id"], status=status, answer=answer)
    seq = kept["seq_limit"] + 1
    await store(db, kept["thread_id"], [Entry({"seq": seq, "type": "done", **output})])
    values = {"status": status, "reason": reason, "ended_at": now_of(db), "output": output, "seq_limit": seq}
    await db.execute(update(runs).where(runs.c.id == kept["id"]).values(values))
    await announce(db, kept, status=status, reason=reason, output=output)


def ended(ending: Ending, *, now: float) -> dict[str, Any]:
    over = not ending.again
    values: dict[str, Any] = {
        "status": ending.status,
        "reason": ending.reason,
        "ended_at": now if over else None,
        "output": ending.output,
        "error": ending.error,
        "model": ending.model,
        "input_tokens": ending.input_tokens,
        "output_tokens": ending.output_tokens,
        "holder": None,
        "stop_requested": None,
    }
    if ending.events:
        # Nothing above this was told, so that a later attempt counts on from here.
        values["seq_limit"] = ending.events[-1].seq
    return values


LATER = {"started_at": None, "ended_at": None, "output": None, "error": None}


def row_of(new: NewRun, turn: Turn | None, holder: str, place: float, *, now: float) -> dict[str, Any]:
    request = new.request
    rights = {name: sorted(getattr(request.principal, name)) for name in ("groups", "levels", "scopes")}
    return {
        **rights,
        "id": new.id,
        "thread_id": new.thread_id,
        "owner": request.principal.id,
        "status": "running" if turn else "queued",
        "reason": "",
        "attempts": 1 if turn else 0,
        "fence": turn.fence if turn else 0,
        "holder": holder if turn else None,
        "request": request.as_json(),
        "message_id": new.message_id,
        "input_hash": request.digest(),
        "idempotency_key": request.idempotency_key,
        "policy": new.policy,
        "place": place or now,
        "stop_requested": None,
        "seq_limit": SEQ_BLOCK if turn else 0,
        "webhook": request.webhook,
        "request_id": new.request_id,
        "created_at": now,
        "started_at": now if turn else None,
        "model": "",
        "input_tokens": 0,
        "output_tokens": 0,
    }
