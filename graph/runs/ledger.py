"""The ledger of runs: what was asked for, who does it, and how it ended. The database is the truth.

Every change of a run that touches its thread happens in one transaction with
the thread's row locked, so that two processes never disagree on who goes on.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import RowMapping, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.access import Principal, owns
from core.database.engine import insert_new, now_of
from core.database.outage import uninterrupted
from graph.db.database import writer_of
from graph.db.tables import runs, threads
from graph.errors import (
    KeyReused,
    NothingToResume,
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
    ThreadTotals,
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
    answered,
    check_room,
    end_here,
    end_orphan,
    first_waiting,
    line_up,
    places,
    row_of,
    run_row,
    run_with_key,
    store_message,
    supersede,
    unit_of,
)

AT_MOST_ATTEMPTS = 3


class RunLedger:
    """Writes rows of `runs`, for the process that `leases` belongs to.

    Args:
        supervised: Somebody in this process goes on with orphaned runs; where
            nobody does, a new message takes the place of one.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        leases: Leases,
        lookup: RunLookup,
        totals: ThreadTotals | None = None,
        *,
        supervised: bool = False,
    ) -> None:
        self._engine = engine
        self._writer = writer_of(engine)
        self._leases = leases
        self._lookup = lookup
        self._totals = totals
        self.supervised = supervised

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
                claim = await self._writer.talk(lambda db: self._open(db, new))
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
            await db.execute(insert(runs), [values])
        elif not await insert_new(db, runs, values):
            raise KeyTakenError
        if hold and not hold.dirty and new.message_id:
            await store_message(db, new.thread_id, new.id, new.message_id, new.request)
        record = record_of({**LATER, **values}, new.request)
        return Claim(record, hold, asked_to_stop=asked, delivery=delivery)

    async def _new_thread(self, db: AsyncConnection, new: NewRun) -> RowMapping | None:
        title = title_from(new.request.message)
        fresh = new_thread(new.thread_id, new.request.principal, title, now=now_of(db))
        if await insert_new(db, threads, fresh) and self._totals:
            await self._totals.hold(db, new.request.principal.id)
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

    async def next_of(self, thread_id: str, *, only: Collection[str] | None = None) -> Claim | None:
        """The first run that waits for the thread, when it may begin now (and is one of `only`)."""
        before = None
        while True:
            async with self._engine.connect() as db:
                run_id = (await db.execute(first_waiting(thread_id, now_of(db)))).scalar()
            # Looked for again: another may have got the first place meanwhile.
            if run_id is None or run_id == before or (only is not None and run_id not in only):
                return None
            if claim := await self._go_on(thread_id, str(run_id)):
                return claim
            before = run_id

    async def orphan_of(self, thread_id: str) -> Claim | None:
        """The run of a thread whose holder is gone, taken over."""
        async with self._engine.connect() as db:
            run_id = (await db.execute(select(threads.c.run_id).where(threads.c.id == thread_id))).scalar()
        return await self._go_on(thread_id, str(run_id), orphan=True) if run_id else None

    @uninterrupted
    async def _go_on(self, thread_id: str, run_id: str, *, orphan: bool = False) -> Claim | None:
        async def work(db: AsyncConnection) -> Claim | None:
            row = await locked(db, thread_id)
            if row is not None and await self._may(db, row, run_id, orphan=orphan):
                return await self._gone_on(db, row, run_id)
            return None

        with self._leases.beginning(run_id) as taken:
            claim = await self._writer.talk(work)
            if claim:
                taken()
        return claim

    async def _may(self, db: AsyncConnection, row: RowMapping, run_id: str, *, orphan: bool) -> bool:
        state = self._leases.state_of(row)
        if orphan:
            return state is not LeaseState.HELD and row["run_id"] == run_id
        return (
            state is LeaseState.FREE
            and (await db.execute(first_waiting(row["id"], row["now"]))).scalar() == run_id
        )

    async def _gone_on(self, db: AsyncConnection, row: RowMapping, run_id: str) -> Claim | None:
        kept = await run_row(db, run_id)
        if kept is None or kept["status"] not in ACTIVE:
            # A lease without a run: upkeep that died. The thread is as it was, only to be looked at.
            if row["run_id"] == run_id:
                await db.execute(update(threads).where(threads.c.id == row["id"]).values(run_id=None))
            return None
        if row["status"] == "interrupted":
            # It may go before the answer only when its caller said so, before there was a question.
            if kept["request"].get("on_busy") != "interrupt":
                return None
            await supersede(db, str(row["id"]))
        queued = kept["status"] == "queued"
        values = {"request": {**kept["request"], "earlier": kept["attempts"]}} if queued else {}
        claim = await self._begin_attempt(db, row, kept, **values)
        record, hold = claim.record, claim.hold
        if record.attempts == 1 and record.message_id and hold and not hold.dirty:
            await store_message(db, record.thread_id, run_id, record.message_id, record.request)
        return claim

    async def _begin_attempt(
        self, db: AsyncConnection, row: RowMapping, kept: RowMapping, **values: Any
    ) -> Claim:
        hold = await take(db, row, kept["id"], self._leases.holder)
        begun: dict[str, Any] = {
            "status": "running",
            "reason": "",
            "attempts": runs.c.attempts + 1,
            "fence": hold.fence,
            "holder": self._leases.holder,
            "started_at": func.coalesce(runs.c.started_at, now_of(db)),
            "ended_at": None,
            "seq_limit": runs.c.seq_limit + SEQ_BLOCK,
            **values,
        }
        changed = update(runs).where(runs.c.id == kept["id"]).values(begun).returning(*runs.c)
        record = record_of((await db.execute(changed)).mappings().one())
        return Claim(record, hold, floor=kept["seq_limit"])

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
            wished = {"policy": policy} if policy else {}
            return await self._begin_attempt(db, row, kept, request=request, stop_requested=None, **wished)

        with self._leases.beginning(run_id) as taken:
            claim = await self._writer.talk(work)
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
        record = await self._lookup.get(principal, run_id)
        await self._writer.talk(lambda db: self._stop(db, record))
        return await self._lookup.get(principal, run_id)

    async def _stop(self, db: AsyncConnection, record: RunRecord) -> None:
        run_id = record.id
        row = await locked(db, record.thread_id)
        kept = (await db.execute(select(runs).where(runs.c.id == run_id))).mappings().one()
        mine = update(threads).where(threads.c.id == record.thread_id)
        if kept["status"] == "running" and row and self._is_orphan(row, run_id):
            await end_orphan(db, run_id, status="cancelled", reason="asked")
            free = {"run_id": None, "holder": None, "lease_until": None, "status": "idle"}
            await db.execute(mine.values(**free, fence=row["fence"] + 1))
        elif kept["status"] == "running":
            wish = update(runs).where(runs.c.id == run_id).values(stop_requested="cancel")
            await db.execute(wish)
        elif kept["status"] == "queued" or (kept["status"] == "interrupted" and row):
            if kept["reason"] == "person" and kept["status"] == "interrupted":
                idle = mine.where(threads.c.run_id.is_(None))
                await db.execute(idle.values(status="idle", waiting=None))
            await end_here(db, kept, status="cancelled", reason="asked")
        else:
            raise RunEnded(f"run '{run_id}' has ended ({kept['status']})")

    def _is_orphan(self, row: RowMapping, run_id: str) -> bool:
        return row["run_id"] == run_id and self._leases.state_of(row) is LeaseState.ORPHANED
