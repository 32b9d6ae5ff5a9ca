"""Rows of the ledger of runs: how one begins, inside of somebody's transaction, and how an attempt ends.

The end is in the words of the database's driver: nothing of it depends on what is found there. So it needs
no look into the transaction, and on PostgreSQL no round trip of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import JSON, RowMapping, func, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from core.access import owner_seen_by
from core.database.engine import add_new, now_of
from core.database.units import Unit
from core.events.deliveries import delivery_row
from core.events.tables import webhook_deliveries
from core.foreign import as_bytes, as_json
from core.settings.book import Editions
from core.settings.platform import LimitSettings
from graph.db.tables import Inserting, add_rows, run_events, runs, said, threads, transcript, worded
from graph.errors import AlreadyAnswered, ThreadTotalReached
from graph.runs.decided import MOST
from graph.runs.events import LoggedEvent, cut_answer, rows_of_events, store
from graph.runs.lease import Hold, fence_of
from graph.runs.record import SEQ_BLOCK, Policy, RunRecord, TurnRequest, record_of
from graph.runs.webhook_body import RUN_ENDED, webhook_body

_MESSAGES = Inserting(transcript, new_only=True)
_EVENTS = Inserting(run_events, new_only=True)
_DELIVERIES = Inserting(webhook_deliveries, new_only=True)
# An ending that was written, and told as failed, is not written again: readers have heard its last event.
_HELD = "SELECT 1 FROM threads WHERE id = ? AND fence = ? AND run_id = ?"
_LET_GO = (
    "UPDATE threads SET run_id = NULL, holder = NULL, lease_until = NULL, status = ?, dirty = ?, waiting = ?,"
    " turns = turns + ?, updated_at = ? WHERE id = ?"
)
_FORGET = "DELETE FROM receipts WHERE thread_id = ?"
_MORE = "SELECT 1 FROM runs WHERE thread_id = ? AND status = 'queued' LIMIT 1"

Statement = tuple[str, Sequence[Sequence[Any]]]
# What a row has only later.
LATER = dict.fromkeys(("started_at", "ended_at", "output", "error", "cost", "steps"))


class KeyTakenError(Exception):
    """Another request with the same key was faster."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run as it is asked for. `queue_limit` is how many may wait for one thread."""

    id: str
    thread_id: str
    message_id: str | None
    request: TurnRequest
    policy: Policy
    queue_limit: int
    request_id: str = ""
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A run and, when it may go on in this process now, the thread that was taken for it.

    Args:
        floor: The last event number that earlier attempts may have had.
        repeated: The run was there already: the same key was sent before.
        asked_to_stop: A run that goes on elsewhere has been asked to stop.
        delivery: The webhook delivery of the run whose place this one took.
    """

    record: RunRecord
    hold: Hold | None = None
    floor: int = 0
    repeated: bool = False
    asked_to_stop: bool = False
    delivery: str | None = None


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
        webhook: Who is told of it.
        told_as: In whose words.
        attempt: Which of the run's it was.
        steps: When each of its steps worked, given the present time.
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
    cost: float | None = None
    steps: Callable[[float], list[dict[str, Any]]] = lambda now: []
    events: Sequence[LoggedEvent] = ()
    messages: Sequence[dict[str, Any]] = field(default_factory=list)
    webhook: str | None = None
    told_as: str = ""
    attempt: int = 0

    def of_run(self, *, now: float) -> dict[str, Any]:
        """What becomes of the run's row."""
        names = ("status", "reason", "output", "error", "model", "input_tokens", "output_tokens", "cost")
        values = {name: getattr(self, name) for name in names}
        values |= {"ended_at": None if self.again else now, "holder": None, "stop_requested": None}
        values["steps"] = self.steps(now)
        # Nothing above this was read by anybody, so that a later attempt counts on from here.
        return {**values, "seq_limit": self.events[-1].seq} if self.events else values


def reply(thread_id: str, run_id: str, *, status: str, answer: str = "", **more: Any) -> dict[str, Any]:
    """The output of a run; without `more` of one that was ended by somebody who does not execute it."""
    return {
        "answer": answer,
        "status": status,
        "thread_id": thread_id,
        "run_id": run_id,
        "citations": [],
        "files": [],
        "tool_calls": [],
        "interrupts": [],
        "usage": {"input_tokens": 0, "output_tokens": 0, "model": ""},
        **more,
    }


def row_of(new: NewRun, hold: Hold | None, holder: str, place: float, *, now: float) -> dict[str, Any]:
    """A new run's row: it runs where it holds its thread, and waits at its place elsewhere."""
    request = new.request
    rights = {name: sorted(getattr(request.principal, name)) for name in ("groups", "levels", "scopes")}
    return {
        **rights,
        "id": new.id,
        "thread_id": new.thread_id,
        "owner": request.principal.id,
        "status": "running" if hold else "queued",
        "reason": "",
        "attempts": 1 if hold else 0,
        "fence": hold.fence if hold else 0,
        "holder": holder if hold else None,
        "request": request.as_json(),
        "message_id": new.message_id,
        "input_hash": request.digest(),
        "idempotency_key": request.idempotency_key,
        "conversation": request.conversation,
        "policy": new.policy,
        "place": place or now,
        "stop_requested": None,
        "seq_limit": SEQ_BLOCK if hold else 0,
        "webhook": request.webhook,
        "request_id": new.request_id,
        "created_at": now,
        "started_at": now if hold else None,
        "model": "",
        "input_tokens": 0,
        "output_tokens": 0,
        "tag": new.tag or None,
    }


def answered(
    kept: RowMapping, answers: dict[str, Any] | None, seen: int | None, told: list[dict[str, Any]]
) -> dict[str, Any]:
    """The run's request with the answers that it goes on with, and who gave them. Raises AlreadyAnswered."""
    given, before = list(answers or ()), kept["request"].get("answered", [])
    gone_on = seen is not None and seen != kept["attempts"]
    if gone_on and (again := [key for key in given if key in before]):
        raise AlreadyAnswered(f"interrupt '{again[0]}' has had its answer; look what waits now")
    known = list(dict.fromkeys([*before, *given]))
    decided = [*kept["request"].get("decided", []), *told][-MOST:]
    beside = {"decided": decided} if decided else {}
    return {
        **kept["request"],
        "answers": answers,
        "answered": known,
        "earlier": kept["attempts"],
        **beside,
    }


async def run_row(db: AsyncConnection, run_id: str | None) -> RowMapping | None:
    return (await db.execute(select(runs).where(runs.c.id == run_id))).mappings().first()


async def run_with_key(db: AsyncConnection, request: TurnRequest) -> RowMapping | None:
    """The run that came of an earlier request with the key."""
    if not request.idempotency_key:
        return None
    mine = runs.c.owner == owner_seen_by(request.principal)
    query = select(runs).where(mine, runs.c.idempotency_key == request.idempotency_key)
    return (await db.execute(query)).mappings().first()


async def store_message(
    db: AsyncConnection, thread_id: str, run_id: str, message_id: str, request: TurnRequest
) -> None:
    """Put the user's message into the transcript, where it is not there yet."""
    row = {
        "thread_id": thread_id,
        "message_id": message_id,
        "role": "user",
        **said(request.message),
        "extra": {"files": list(request.files)} if request.files else {},
        "run_id": run_id,
        "created_at": now_of(db),
    }
    await add_rows(db, _MESSAGES, [row])


async def supersede(db: AsyncConnection, thread_id: str) -> None:
    """A message takes the place of the answer that the thread's run waits for."""
    waiting = (runs.c.thread_id == thread_id) & (runs.c.status == "interrupted") & (runs.c.reason == "person")
    values = {"status": "cancelled", "reason": "superseded", "ended_at": now_of(db)}
    await db.execute(update(runs).where(waiting).values(values))


def delivery_of(run_id: str, attempt: int, status: str) -> str:
    """The id under which a webhook is told of this end: the same for whoever writes it, or looks for it."""
    return f"msg_{run_id}_{attempt}_{status}"


async def announce(
    db: AsyncConnection,
    row: RowMapping,
    *,
    status: str,
    reason: str,
    output: Any,
    error: dict[str, Any] | None = None,
) -> None:
    """Keep what the run's webhook is to hear of its end, for the task queue to deliver."""
    if row["webhook"]:
        kept = _delivery(
            row["id"],
            row["thread_id"],
            row["attempts"],
            row["webhook"],
            {"status": status, "reason": reason, "output": output, "error": error},
            told_as=row["request"].get("told_as", ""),
            now=now_of(db),
        )
        await add_new(db, webhook_deliveries, [kept])


def announcement(hold: Hold, ending: Ending, *, now: float) -> dict[str, Any] | None:
    """The same of an attempt's end, as a row; None where nobody is told."""
    if not ending.webhook or ending.again:
        return None
    shown = {name: getattr(ending, name) for name in ("status", "reason", "output", "error")}
    return _delivery(
        hold.run_id,
        hold.thread_id,
        ending.attempt,
        ending.webhook,
        shown,
        told_as=ending.told_as,
        now=now,
    )


def _delivery(
    run_id: str,
    thread_id: str,
    attempt: int,
    webhook: str,
    shown: Mapping[str, Any],
    *,
    told_as: str,
    now: float,
) -> dict[str, Any]:
    body = webhook_body(told_as, {"run_id": run_id, "thread_id": thread_id, **shown})
    url = webhook if "://" in webhook else None
    values = delivery_row("run" if url else webhook, RUN_ENDED, as_bytes(body), now=now, url=url)
    return {**values, "id": delivery_of(run_id, attempt, str(shown["status"]))}


async def end_here(
    db: AsyncConnection,
    kept: RowMapping,
    *,
    status: str,
    reason: str,
    answer: str = "",
    error: dict[str, Any] | None = None,
) -> None:
    """End a run that nobody executes, with its last event."""
    output = None if error else reply(kept["thread_id"], kept["id"], status=status, answer=answer)
    seq = kept["seq_limit"] + 1
    last = {"type": "error", **error} if error else {"type": "done", **(output or {})}
    await store(db, kept["thread_id"], [LoggedEvent({"seq": seq, "run_id": kept["id"], **last})])
    values = {"status": status, "reason": reason, "ended_at": now_of(db), "output": output, "seq_limit": seq}
    ended = update(runs).where(runs.c.id == kept["id"])
    await db.execute(ended.values({**values, "error": error}))
    await announce(db, kept, status=status, reason=reason, output=output, error=error)


async def end_orphan(
    db: AsyncConnection, run_id: str, *, status: str = "interrupted", reason: str = "orphaned"
) -> str | None:
    """End a run whose holder is gone; the delivery that its webhook waits for."""
    kept = await run_row(db, run_id)
    if kept is None or kept["status"] != "running":
        return None
    record = record_of(kept)
    if record.message_id:
        await store_message(db, record.thread_id, record.id, record.message_id, record.request)
    answer = await cut_answer(db, record.id)
    await end_here(db, kept, status=status, reason=reason, answer=answer)
    return delivery_of(run_id, record.attempts, status) if kept["webhook"] else None


def unit_of(engine: AsyncEngine, hold: Hold, ending: Ending) -> Unit:
    """All that the end of the attempt writes; its result has a row where another run waits for the thread."""
    statements = list(_statements(engine, hold, ending))
    held = (worded(engine, _HELD), (hold.thread_id, hold.fence, hold.run_id))
    more = (worded(engine, _MORE), (hold.thread_id,))
    # Whoever cancels a run waits for just that.
    return Unit(fence_of(hold), statements, more, held, hurries=ending.status == "cancelled")


def _statements(engine: AsyncEngine, hold: Hold, ending: Ending) -> Iterator[Statement]:
    now = now_of(engine)
    told = rows_of_events(hold.thread_id, ending.events, now=now)
    waiting = None if ending.waiting is None else as_json(ending.waiting)
    thread = (ending.thread_status, not ending.clean, waiting, 0 if ending.again else 1, now)
    yield worded(engine, _LET_GO), [(*thread, hold.thread_id)]
    if ending.messages:
        yield _MESSAGES.into(engine, ending.messages)
    if told:
        yield _EVENTS.into(engine, told)
    yield _run(engine, hold, ending.of_run(now=now))
    if row := announcement(hold, ending, now=now):
        yield _DELIVERIES.into(engine, [row])
    if ending.clean and ending.has_calls:
        yield worded(engine, _FORGET), [(hold.thread_id,)]


def _run(engine: AsyncEngine, hold: Hold, values: Mapping[str, Any]) -> Statement:
    changes = ", ".join(f"{name} = ?" for name in values)
    kinds = {column.name: column.type for column in runs.columns}
    row = [
        as_json(value) if value is not None and isinstance(kinds[name], JSON) else value
        for name, value in values.items()
    ]
    return worded(engine, f"UPDATE runs SET {changes} WHERE id = ?"), [(*row, hold.run_id)]  # noqa: S608 - our own names


_LOCK = 0x7468_7264  # apart from other locks on texts


class ThreadTotals:
    """Holds new threads to `limits.threads_per_user`; a thread that is there costs nothing."""

    def __init__(self, editions: Editions) -> None:
        self._editions = editions

    async def hold(self, db: AsyncConnection, owner: str, *, more: int = 0) -> None:
        """Asked by every place that makes a thread, in its transaction.

        Args:
            more: Threads that are about to come, beside those that stand in the database.

        Raises:
            ThreadTotalReached: The owner would have more than the setting allows.
        """
        most = self._editions.now().book[LimitSettings].threads_per_user
        if not most:
            return
        if db.dialect.name == "postgresql":
            # Threads that others are just making for the owner are not seen before they are there.
            await db.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(owner, _LOCK))))
        count = select(func.count()).select_from(threads).where(threads.c.owner == owner)
        found = (await db.execute(count)).scalar_one() + more
        if found > most:
            raise ThreadTotalReached(
                f"you would have {found} threads; at most {most} are allowed "
                "(limits.threads_per_user): delete some, or go on with one that you have"
            )
