"""The ledger of runs: what was asked for, who does it, and how it ended. The database is the truth.

Every change of a run that touches its thread happens in one transaction with
the thread's row locked, so that two processes never disagree on who goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, bindparam, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from core.access import Principal, owns
from core.database.engine import insert_new, now_of
from core.database.outage import uninterrupted
from graph.db.database import writer_of
from graph.db.tables import Inserting, add_rows, runs, threads, worded
from graph.errors import (
    KeyReused,
    NothingToResume,
    QueueFull,
    RunEnded,
    RunNotFound,
    ThreadBusy,
    ThreadNotFound,
    ThreadWaiting,
)
from graph.runs.decided import noted
from graph.runs.lease import (
    Hold,
    Leases,
    LeaseState,
    locked,
    new_thread,
    take,
    title_from,
)
from graph.runs.lookup import RunLookup
from graph.runs.record import ACTIVE, IN_LINE_S, SEQ_BLOCK, Policy, RunRecord, record_of
from graph.runs.rows import (
    LATER,
    Claim,
    Ending,
    KeyTakenError,
    NewRun,
    ThreadTotals,
    answered,
    end_here,
    end_orphan,
    row_of,
    run_row,
    run_with_key,
    store_message,
    supersede,
    unit_of,
)

AT_MOST_ATTEMPTS = 3
# In the driver's words: SQLAlchemy takes longer for a statement than SQLite to answer it.
_RUNS = Inserting(runs)
_BEGUN = update(runs).where(runs.c.id == bindparam("run"))
Row = Mapping[str, Any] | RowMapping


class RunLedger:
    """Writes rows of `runs`, for the process that `leases` belongs to.

    Args:
        supervised: Orphaned runs are gone on with; else a new message takes the place of one.
        hands_over: No run is executed here: what begins, or goes on, waits for a worker.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        leases: Leases,
        lookup: RunLookup,
        totals: ThreadTotals | None = None,
        *,
        supervised: bool = False,
        hands_over: bool = False,
    ) -> None:
        self._engine = engine
        self._writer = writer_of(engine)
        self._leases = leases
        self._lookup = lookup
        self._totals = totals
        self.supervised = supervised or hands_over
        self.hands_over = hands_over

    @uninterrupted
    async def open(self, new: NewRun) -> Claim:
        """Store the run and its message, and take the thread for it when that is free.

        When this returns, the message is on disk, whatever happens next.

        Raises:
            ThreadNotFound: The thread is somebody else's.
            ThreadBusy, ThreadWaiting, QueueFull: It cannot be taken, and the caller does not wait.
            KeyReused: The key belongs to another request.
        """
        if found := await self._repeated(new):
            return found
        with self._leases.beginning(new.id) as taken:
            try:
                # Where no run is executed, nobody is under way whom those that begin would hold up.
                begins = not self.hands_over
                claim = await self._writer.talk(lambda db: self._open(db, new), begins=begins)
            except KeyTakenError:
                earlier = await self._repeated(new)
                assert earlier is not None, "a key that is taken has its run"  # noqa: S101 - an invariant
                return earlier
            if claim.hold:
                taken()
        return claim

    async def _open(self, db: AsyncConnection, new: NewRun) -> Claim:
        row = await locked(db, new.thread_id) or await self._new_thread(db, new)
        if row is None or not owns(new.request.principal, row["owner"]):
            raise ThreadNotFound(new.thread_id)
        if await run_with_key(db, new.request):
            # Since `open` looked: before it is found that this run has the thread.
            raise KeyTakenError
        hold, place, asked, delivery = await self._thread_or_place(db, row, new)
        values = row_of(new, hold, self._leases.holder, place, now=now_of(db))
        if not new.request.idempotency_key:
            await add_rows(db, _RUNS, [values])
        elif not await insert_new(db, runs, values):
            raise KeyTakenError
        if hold and not hold.dirty and new.message_id:
            await store_message(db, new.thread_id, new.id, new.message_id, new.request)
        record = record_of({**LATER, **values}, new.request)
        return Claim(record, hold, asked_to_stop=asked, delivery=delivery)

    async def _new_thread(self, db: AsyncConnection, new: NewRun) -> RowMapping | None:
        who = new.request.principal
        fresh = new_thread(new.thread_id, who, title_from(new.request.message), now=now_of(db))
        if await insert_new(db, threads, fresh) and self._totals:
            await self._totals.hold(db, who.id)
        return await locked(db, new.thread_id)

    async def _thread_or_place(
        self, db: AsyncConnection, row: RowMapping, new: NewRun
    ) -> tuple[Hold | None, float, bool, str | None]:
        """The taken thread, or none and the run's place in the line; then the rest of its claim."""
        how, waiting = new.request.on_busy, await places(db, new.thread_id)
        if new.request.delay:
            check_room(new, waiting)
            return None, row["now"] + IN_LINE_S + new.request.delay, False, None
        queued = [place for place in waiting if place <= row["now"] + IN_LINE_S]
        state = await self._state_for_new(db, row)
        waits = state is LeaseState.FREE and row["status"] == "interrupted"
        if waits and how == "reject":
            raise ThreadWaiting(
                f"thread '{new.thread_id}' waits for an answer; give it, or send on_busy=interrupt"
                " to go on without it"
            )
        busy = state is LeaseState.HELD or (queued and how == "reject")
        if busy or (how == "enqueue" and (queued or waits)):
            return None, *(await line_up(db, row, new, waiting)), None
        if self.hands_over:
            return None, first_place(row, waiting), False, None
        delivery = await end_orphan(db, row["run_id"]) if state is LeaseState.ORPHANED else None
        if waits:
            await supersede(db, new.thread_id)
        return await take(db, row, new.id, self._leases.holder), 0.0, False, delivery

    async def _state_for_new(self, db: AsyncConnection, row: RowMapping) -> LeaseState:
        """An orphan that will be gone on with holds its thread as a living run does."""
        state = self._leases.state_of(row)
        if state is LeaseState.ORPHANED and self.supervised:
            kept = await run_row(db, row["run_id"])
            record = record_of(kept) if kept and kept["status"] == "running" else None
            if record and record.policy == "resume" and record.tries < AT_MOST_ATTEMPTS:
                return LeaseState.HELD
        return state

    async def _repeated(self, new: NewRun) -> Claim | None:
        key = new.request.idempotency_key
        if not key:
            return None
        async with self._engine.connect() as db:
            row = await run_with_key(db, new.request)
        if row is None:
            return None
        if row["input_hash"] != new.request.digest():
            raise KeyReused(f"the key '{key}' was sent before with another request; use a new key")
        return Claim(record_of(row), repeated=True)

    @uninterrupted
    async def reopen(
        self,
        principal: Principal,
        run_id: str,
        answers: dict[str, Any] | None,
        *,
        policy: Policy | None = None,
        seen: int | None = None,
    ) -> Claim:
        """Go on with a run that was interrupted: with answers to what waits, or where it was stopped.

        Args:
            seen: How many attempts it had when the answers were held against what waits.

        Raises:
            RunNotFound: There is none, or it is somebody else's.
            NothingToResume: It is not interrupted, or the thread has gone on without it.
            AlreadyAnswered: Somebody else has answered one of the questions meanwhile.
            ThreadBusy: Another run is going.
        """
        record = await self._lookup.get(principal, run_id)

        async def work(db: AsyncConnection) -> Claim:
            row, kept = await self._interrupted(db, record)
            told = noted(row["waiting"], answers, by=principal.id, at=now_of(db))
            request = answered(kept, answers, seen, told)
            wished = {"request": request, "stop_requested": None} | ({"policy": policy} if policy else {})
            if self.hands_over:
                return Claim(record_of(await line_up_again(db, row, kept, wished)), floor=kept["seq_limit"])
            return await begin_attempt(db, row, kept, self._leases.holder, **wished)

        with self._leases.beginning(run_id) as taken:
            claim = await self._writer.talk(work)
            if claim.hold:
                taken()
        return claim

    async def _interrupted(self, db: AsyncConnection, record: RunRecord) -> tuple[RowMapping, RowMapping]:
        """Rows of the thread and of the run, which waits there to be gone on with."""
        row = await locked(db, record.thread_id)
        if row is None:
            raise RunNotFound(record.id)
        if self._leases.state_of(row) is not LeaseState.FREE:
            raise ThreadBusy(f"thread '{record.thread_id}' has a run going; wait for it to end")
        newest = select(runs.c.id).where(runs.c.thread_id == record.thread_id, runs.c.attempts > 0)
        newest = newest.order_by(runs.c.fence.desc(), runs.c.created_at.desc()).limit(1)
        kept = (await db.execute(select(runs).where(runs.c.id == record.id))).mappings().one()
        if kept["status"] in ACTIVE:
            raise ThreadBusy(f"run '{record.id}' goes on already; wait for it to end")
        if kept["status"] != "interrupted" or (await db.execute(newest)).scalar() != record.id:
            raise NothingToResume(f"run '{record.id}' does not wait to be gone on with")
        return row, kept

    @uninterrupted
    async def adopt_waiting(self, new: NewRun) -> RunRecord:
        """A run for a thread that waits for a person since before there were runs.

        Raises:
            NothingToResume: The thread does not wait.
        """
        return await self._writer.talk(lambda db: self._adopt(db, new))

    async def _adopt(self, db: AsyncConnection, new: NewRun) -> RunRecord:
        row = await locked(db, new.thread_id)
        if row is None or not owns(new.request.principal, row["owner"]):
            raise ThreadNotFound(new.thread_id)
        if row["status"] != "interrupted":
            raise NothingToResume(f"thread '{new.thread_id}' does not wait for an answer")
        values = {
            **row_of(new, None, self._leases.holder, 0.0, now=now_of(db)),
            "status": "interrupted",
            "reason": "person",
            "attempts": 1,
            "fence": row["fence"],
            "message_id": None,
        }
        await insert_new(db, runs, values)
        return record_of({**LATER, **values})

    @uninterrupted
    async def close(self, hold: Hold, ending: Ending) -> bool:
        """End an attempt and give the thread back; True when another run waits for it.

        Raises:
            LeaseLost: Somebody has taken the thread over; nothing was written.
        """
        with self._leases.ending(hold.run_id):
            more_wait = await self._writer.write(unit_of(self._engine, hold, ending))
        return ending.again or bool(more_wait)

    def leave(self, run_id: str) -> None:
        """Hold its thread no more: its end cannot be written here, and whoever comes next settles it."""
        self._leases.drop(run_id)

    @uninterrupted
    async def ask_to_stop(self, principal: Principal, run_id: str) -> RunRecord:
        """Cancel a run: one that somebody executes is asked to end, any other ends here.

        Raises:
            RunNotFound: There is none, or it is somebody else's.
            RunEnded: It is over.
        """
        # In one transaction, at the head of the line: where hundreds read, a look beforehand takes seconds.
        return await self._writer.talk(lambda db: self._stopped(db, principal, run_id), hurries=True)

    async def _stopped(self, db: AsyncConnection, principal: Principal, run_id: str) -> RunRecord:
        found = await run_row(db, run_id)
        if found is None or not owns(principal, found["owner"]):
            raise RunNotFound(run_id[:80])
        row = await locked(db, found["thread_id"])
        await self._stop(db, row, await run_row(db, run_id) or found)
        return record_of(await run_row(db, run_id) or found)

    async def _stop(self, db: AsyncConnection, row: RowMapping | None, kept: RowMapping) -> None:
        run_id = kept["id"]
        mine = update(threads).where(threads.c.id == kept["thread_id"])
        if kept["status"] == "running" and row and self._is_orphan(row, run_id):
            await end_orphan(db, run_id, status="cancelled", reason="asked")
            free = {"run_id": None, "holder": None, "lease_until": None, "status": "idle"}
            await db.execute(mine.values(**free, fence=row["fence"] + 1))
        elif kept["status"] == "running":
            await db.execute(update(runs).where(runs.c.id == run_id).values(stop_requested="cancel"))
        elif kept["status"] == "queued" or (kept["status"] == "interrupted" and row):
            if kept["reason"] == "person" and kept["status"] == "interrupted":
                idle = mine.where(threads.c.run_id.is_(None))
                await db.execute(idle.values(status="idle", waiting=None))
            await end_here(db, kept, status="cancelled", reason="asked")
        else:
            raise RunEnded(f"run '{run_id}' has ended ({kept['status']})")

    def _is_orphan(self, row: RowMapping, run_id: str) -> bool:
        return row["run_id"] == run_id and self._leases.state_of(row) is LeaseState.ORPHANED


async def begin_attempt(db: AsyncConnection, row: Row, kept: Row, holder: str, **values: Any) -> Claim:
    """The next attempt of a run, with its thread taken by `holder`."""
    hold = await take(db, row, kept["id"], holder)
    # The row is locked with its thread's: what it becomes need not be asked for.
    begun: dict[str, Any] = {
        "status": "running",
        "reason": "",
        "attempts": kept["attempts"] + 1,
        "fence": hold.fence,
        "holder": holder,
        "started_at": now_of(db) if kept["started_at"] is None else kept["started_at"],
        "ended_at": None,
        "seq_limit": kept["seq_limit"] + SEQ_BLOCK,
        **values,
    }
    await db.execute(_BEGUN, {"run": kept["id"], **begun})
    record = record_of({**kept, **begun})
    return Claim(record, hold, floor=kept["seq_limit"])


_PLACES = "SELECT place FROM runs WHERE thread_id = ? AND status = 'queued'"


async def places(db: AsyncConnection, thread_id: str) -> Sequence[float]:
    """The places of those that wait for the thread."""
    found = await db.exec_driver_sql(worded(db, _PLACES), (thread_id,))
    return [place for (place,) in found.fetchall()]


def check_room(new: NewRun, queued: Sequence[float]) -> None:
    """Raises QueueFull where no more may wait."""
    if len(queued) >= new.queue_limit:
        raise QueueFull(
            f"{len(queued)} runs wait for thread '{new.thread_id}', the limit; wait for one to end"
        )


async def line_up(
    db: AsyncConnection, row: RowMapping, new: NewRun, queued: Sequence[float]
) -> tuple[float, bool]:
    """The place of a run that waits for a busy thread, and whether the one that goes on was asked to stop."""
    how = new.request.on_busy
    if how == "reject":
        raise ThreadBusy(f"thread '{new.thread_id}' has a run going; wait for it to end or cancel it")
    check_room(new, queued)
    if how == "enqueue":
        in_line = [place for place in queued if place <= row["now"] + IN_LINE_S]
        return max([row["now"], *in_line]) + 1e-3, False
    running = (runs.c.id == row["run_id"]) & (runs.c.status == "running")
    await db.execute(
        update(runs).where(running, runs.c.stop_requested.is_(None)).values(stop_requested="supersede")
    )
    return min([row["now"], *queued]) - 1e-3, True


def first_place(row: RowMapping, queued: Sequence[float]) -> float:
    """The place before all that wait, for a run that would begin now if somebody executed it here."""
    return min([float(row["now"]), *(place - 1e-3 for place in queued)])


async def line_up_again(
    db: AsyncConnection, row: RowMapping, kept: RowMapping, values: Mapping[str, Any]
) -> RowMapping:
    """Let a run that paused wait for a worker; nothing waits for a person any more."""
    place = first_place(row, await places(db, row["id"]))
    waits = {"status": "queued", "reason": "", "place": place, "ended_at": None, **values}
    idle = update(threads).where(threads.c.id == row["id"])
    await db.execute(idle.values(status="idle", waiting=None, updated_at=row["now"]))
    changed = update(runs).where(runs.c.id == kept["id"]).values(waits).returning(*runs.c)
    return (await db.execute(changed)).mappings().one()
