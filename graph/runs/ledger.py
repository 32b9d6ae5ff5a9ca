"""The ledger of runs: what was asked for, who does it, and how it ended. The database is the truth.

Every change of a run that touches its thread happens in one transaction with
the thread's row locked, so that two processes never disagree on who goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import RowMapping, Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core.access import Principal, owner_seen_by, owns
from core.database.engine import insert_new, now_of
from core.whole import whole
from graph.db.tables import runs, threads
from graph.errors import (
    AlreadyAnswered,
    KeyReused,
    NothingToResume,
    QueueFull,
    RunNotFound,
    ThreadBusy,
    ThreadNotFound,
    ThreadWaiting,
)
from graph.runs.lease import Standing, Turn, locked, new_thread, standing, take, title_from
from graph.runs.ledger_ends import LedgerEnds
from graph.runs.ledger_rows import (
    LATER,
    NewRun,
    Seat,
    places,
    row_of,
    supersede,
    tell,
)
from graph.runs.record import ACTIVE, SEQ_BLOCK, Policy, RunRecord, TurnRequest, record_of

AT_MOST_ATTEMPTS = 3


class _KeyTakenError(Exception):
    """Another request with the same key was faster."""


class RunLedger(LedgerEnds):
    """Writes rows of `runs`, for the process that `leases` belongs to.

    `supervised` says that somebody in this process goes on with orphaned runs:
    where nobody does, a new message takes the place of one.
    """

    supervised = False

    # -- how runs begin ---------------------------------------------------------------------------

    @whole
    async def open(self, new: NewRun) -> Seat:
        """Store the run and its message, and take the thread for it when that is free.

        When this returns, the message is on disk, whatever happens next.

        Raises:
            ThreadNotFound: The thread is somebody else's.
            ThreadBusy, ThreadWaiting, QueueFull: It cannot be taken, and the caller does not wait.
            KeyReused: The key belongs to another request.
        """
        if found := await self._repeated(new):
            return found
        self._leases.keep(new.id)
        seat: Seat | None = None
        try:
            async with self._engine.begin() as db:
                seat = await self._open(db, new)
        except _KeyTakenError:
            seat = await self._repeated(new)
            assert seat is not None, "a key that is taken has its run"  # noqa: S101 - an invariant
        finally:
            self._settle(new.id, seat)
        return seat

    async def _open(self, db: AsyncConnection, new: NewRun) -> Seat:
        title = title_from(new.request.message)
        fresh = new_thread(new.thread_id, new.request.principal, title, now=now_of(db))
        if await insert_new(db, threads, fresh) and self._totals:
            await self._totals.hold(db, new.request.principal.id)
        row = await locked(db, new.thread_id)
        if row is None or not owns(new.request.principal, row["owner"]):
            raise ThreadNotFound(new.thread_id)
        if await self._with_key(db, new.request):
            # Since `open` looked: before it is found that this run has the thread.
            raise _KeyTakenError
        turn, place, nudge = await self._seat(db, row, new)
        values = row_of(new, turn, self._leases.holder, place, now=now_of(db))
        if not await insert_new(db, runs, values):
            raise _KeyTakenError
        if turn and not turn.dirty:
            await tell(db, new.thread_id, new.id, new.message_id, new.request)
        return Seat(record_of({**LATER, **values}, new.request), turn, nudge=nudge)

    async def _seat(
        self, db: AsyncConnection, row: RowMapping, new: NewRun
    ) -> tuple[Turn | None, float, bool]:
        """The taken thread, or none and the run's place in the line."""
        how, queued = new.request.on_busy, await places(db, new.thread_id)
        found = await self._found(db, row)
        waits = found is Standing.FREE and row["status"] == "interrupted"
        if waits and how == "reject":
            raise ThreadWaiting(
                f"thread '{new.thread_id}' waits for an answer; give it, or send on_busy=interrupt"
                " to go on without it"
            )
        if found is Standing.HELD or (queued and how == "reject") or (how == "enqueue" and (queued or waits)):
            return None, *(await self._line_up(db, row, new, queued))
        if found is Standing.ORPHANED:
            await self.bury(db, row)
        if waits:
            await supersede(db, new.thread_id)
        return await take(db, row, new.id, self._leases.holder), 0.0, False

    async def _found(self, db: AsyncConnection, row: RowMapping) -> Standing:
        """An orphan that will be gone on with holds its thread as a living run does."""
        found = standing(row, self._leases)
        if found is Standing.ORPHANED and self.supervised:
            query = select(runs).where(runs.c.id == row["run_id"], runs.c.status == "running")
            kept = (await db.execute(query)).mappings().first()
            record = record_of(kept) if kept else None
            if record and record.policy == "resume" and record.tries < AT_MOST_ATTEMPTS:
                return Standing.HELD
        return found

    async def _line_up(
        self, db: AsyncConnection, row: RowMapping, new: NewRun, queued: Sequence[float]
    ) -> tuple[float, bool]:
        how = new.request.on_busy
        if how == "reject":
            raise ThreadBusy(f"thread '{new.thread_id}' has a run going; wait for it to end or cancel it")
        if len(queued) >= new.queue_limit:
            raise QueueFull(
                f"{len(queued)} runs wait for thread '{new.thread_id}', the limit; wait for one to end"
            )
        if how == "enqueue":
            return max([row["now"], *queued]) + 1e-3, False
        running = (runs.c.id == row["run_id"]) & (runs.c.status == "running")
        await db.execute(
            update(runs).where(running, runs.c.stop_requested.is_(None)).values(stop_requested="supersede")
        )
        return min([row["now"], *queued]) - 1e-3, True

    async def _repeated(self, new: NewRun) -> Seat | None:
        key = new.request.idempotency_key
        if not key:
            return None
        async with self._engine.connect() as db:
            row = await self._with_key(db, new.request)
        if row is None:
            return None
        if row["input_hash"] != new.request.digest():
            raise KeyReused(f"the key '{key}' was sent before with another request; use a new key")
        return Seat(record_of(row), repeated=True)

    async def _with_key(self, db: AsyncConnection, request: TurnRequest) -> RowMapping | None:
        """The run that came of an earlier request with the key."""
        if not request.idempotency_key:
            return None
        mine = runs.c.owner == owner_seen_by(request.principal)
        query = select(runs).where(mine, runs.c.idempotency_key == request.idempotency_key)
        return (await db.execute(query)).mappings().first()

    def _settle(self, run_id: str, seat: Seat | None) -> None:
        """Leases are kept for the runs that go on here, and for no others."""
        if seat and seat.turn and seat.record.id == run_id:
            self._leases.taken(run_id)
        elif not self._leases.holds(run_id):  # another request may have begun it here
            self._leases.drop(run_id)

    # -- how they go on ---------------------------------------------------------------------------

    async def next_of(self, thread_id: str, *, only: Collection[str] | None = None) -> Seat | None:
        """The first run that waits for the thread, when it may begin now (and is one of `only`)."""
        before = None
        while True:
            async with self._engine.connect() as db:
                run_id = (await db.execute(_first(thread_id))).scalar()
            # Looked for again: another may have got the first place meanwhile.
            if run_id is None or run_id == before or (only is not None and run_id not in only):
                return None
            if seat := await self._go_on(thread_id, str(run_id)):
                return seat
            before = run_id

    async def orphan_of(self, thread_id: str) -> Seat | None:
        """The run of a thread whose holder is gone, taken over."""
        async with self._engine.connect() as db:
            run_id = (await db.execute(select(threads.c.run_id).where(threads.c.id == thread_id))).scalar()
        return await self._go_on(thread_id, str(run_id), orphan=True) if run_id else None

    @whole
    async def _go_on(self, thread_id: str, run_id: str, *, orphan: bool = False) -> Seat | None:
        self._leases.keep(run_id)
        seat: Seat | None = None
        try:
            async with self._engine.begin() as db:
                row = await locked(db, thread_id)
                if row is not None and await self._may(db, row, run_id, orphan=orphan):
                    seat = await self._resumed(db, row, run_id)
        finally:
            self._settle(run_id, seat)
        return seat

    async def _may(self, db: AsyncConnection, row: RowMapping, run_id: str, *, orphan: bool) -> bool:
        found = standing(row, self._leases)
        if orphan:
            return found is not Standing.HELD and row["run_id"] == run_id
        return found is Standing.FREE and (await db.execute(_first(row["id"]))).scalar() == run_id

    async def _resumed(self, db: AsyncConnection, row: RowMapping, run_id: str) -> Seat | None:
        kept = (await db.execute(select(runs).where(runs.c.id == run_id))).mappings().first()
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
        turn = await take(db, row, run_id, self._leases.holder)
        values: dict[str, Any] = {}
        if kept["status"] == "queued":
            values["request"] = {**kept["request"], "earlier": kept["attempts"]}
        record = await self._begin_attempt(db, run_id, turn, **values)
        if record.attempts == 1 and record.message_id and not turn.dirty:
            await tell(db, record.thread_id, run_id, record.message_id, record.request)
        return Seat(record, turn, floor=kept["seq_limit"])

    async def _begin_attempt(self, db: AsyncConnection, run_id: str, turn: Turn, **values: Any) -> RunRecord:
        begun = (
            update(runs)
            .where(runs.c.id == run_id)
            .values(
                status="running",
                reason="",
                attempts=runs.c.attempts + 1,
                fence=turn.fence,
                holder=self._leases.holder,
                started_at=func.coalesce(runs.c.started_at, now_of(db)),
                ended_at=None,
                seq_limit=runs.c.seq_limit + SEQ_BLOCK,
                **values,
            )
        )
        return record_of((await db.execute(begun.returning(*runs.c))).mappings().one())

    @whole
    async def reopen(
        self,
        principal: Principal,
        run_id: str,
        answers: dict[str, Any] | None,
        *,
        policy: Policy | None = None,
        seen: int | None = None,
    ) -> Seat:
        """Go on with a run that was interrupted: with answers to what waits, or where it was stopped.

        Args:
            seen: How many attempts it had when the answers were held against what waits.

        Raises:
            RunNotFound: There is none, or it is somebody else's.
            NothingToResume: It is not interrupted, or the thread has gone on without it.
            AlreadyAnswered: Somebody else has answered one of the questions meanwhile.
            ThreadBusy: Another run is going.
        """
        record = await self.get(principal, run_id)
        self._leases.keep(run_id)
        seat: Seat | None = None
        try:
            async with self._engine.begin() as db:
                seat = await self._reopen(db, record, answers, policy, seen)
        finally:
            self._settle(run_id, seat)
        return seat

    async def _reopen(
        self,
        db: AsyncConnection,
        record: RunRecord,
        answers: dict[str, Any] | None,
        policy: Policy | None,
        seen: int | None,
    ) -> Seat:
        row = await locked(db, record.thread_id)
        if row is None:
            raise RunNotFound(record.id)
        if standing(row, self._leases) is not Standing.FREE:
            raise ThreadBusy(f"thread '{record.thread_id}' has a run going; wait for it to end")
        newest = select(runs.c.id).where(runs.c.thread_id == record.thread_id, runs.c.attempts > 0)
        newest = newest.order_by(runs.c.fence.desc(), runs.c.created_at.desc()).limit(1)
        kept = (await db.execute(select(runs).where(runs.c.id == record.id))).mappings().one()
        if kept["status"] != "interrupted" or (await db.execute(newest)).scalar() != record.id:
            raise NothingToResume(f"run '{record.id}' does not wait to be gone on with")
        given, before = list(answers or ()), kept["request"].get("answered", [])
        gone_on = seen is not None and seen != kept["attempts"]
        if gone_on and (again := [key for key in given if key in before]):
            raise AlreadyAnswered(f"interrupt '{again[0]}' has had its answer; look what waits now")
        turn = await take(db, row, record.id, self._leases.holder)
        told = {
            "answers": answers,
            "answered": list(dict.fromkeys([*before, *given])),
            "earlier": kept["attempts"],
        }
        request = {**kept["request"], **told}
        values: dict[str, Any] = {"request": request, "stop_requested": None}
        if policy:
            values["policy"] = policy
        begun = await self._begin_attempt(db, record.id, turn, **values)
        return Seat(begun, turn, floor=kept["seq_limit"])

    @whole
    async def adopt_waiting(self, new: NewRun) -> RunRecord:
        """A run for a thread that waits for a person since before there were runs.

        Raises:
            NothingToResume: The thread does not wait.
        """
        async with self._engine.begin() as db:
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


def _first(thread_id: str) -> Select[Any]:
    """The run that is next of those that wait for the thread."""
    waiting = (runs.c.thread_id == thread_id) & (runs.c.status == "queued")
    return select(runs.c.id).where(waiting).order_by(runs.c.place).limit(1)
