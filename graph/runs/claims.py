"""Taking up runs that wait: by whoever executes runs, and their end where nobody does."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Float, Integer, RowMapping, Select, bindparam, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from core.database.engine import CLOCK, is_sqlite, now_of
from core.database.outage import uninterrupted
from graph.db.database import writer_of
from graph.db.tables import runs, threads
from graph.errors import NoWorker, problem_of
from graph.runs.lease import Leases, LeaseState, locked
from graph.runs.ledger import Row, begin_attempt
from graph.runs.lookup import FREE, RunLookup, first_waiting, is_first, queued_by
from graph.runs.record import ACTIVE
from graph.runs.rows import Claim, end_here, run_row, store_message, supersede

# Threads that are taken in one transaction: so long others wait for its commit.
AT_MOST = 16
_RUN = "its_"


def _waiting(tags: Sequence[str] | None) -> Select[Any]:
    """Threads and the runs that wait for them, made once: SQLAlchemy takes longer than the database.

    Locked, and looked at again as they are then: who was faster may have them, or have ended them.
    """
    return (
        select(threads, CLOCK.label("now"), *[column.label(_RUN + column.name) for column in runs.c])
        .join(runs, runs.c.thread_id == threads.c.id)
        .where(queued_by(bindparam("now", type_=Float), tags), FREE, is_first())
        .order_by(runs.c.place)
        .limit(bindparam("most", type_=Integer))
        .with_for_update(of=[threads, runs], skip_locked=True)
    )


class Claims:
    """Takes up what waits, for the process that `leases` belongs to."""

    def __init__(self, engine: AsyncEngine, leases: Leases, lookup: RunLookup) -> None:
        self._engine = engine
        self._writer = writer_of(engine)
        self._leases = leases
        self._lookup = lookup
        self._waiting = _waiting(lookup.tags)

    async def take(self, most: int) -> Sequence[Claim]:
        """Up to so many runs that wait for a free thread, taken for this process, the longest waiting first.

        Several processes that look at once do not wait for each other, and none gets what another has.
        """
        if not is_sqlite(self._engine):
            return await self._taken(min(most, AT_MOST))
        found = [await self.next_of(thread) for thread in await self._lookup.waiting_threads(most)]
        return [claim for claim in found if claim is not None]

    async def next_of(self, thread_id: str, *, only: Collection[str] | None = None) -> Claim | None:
        """The first run that waits for the thread, when it may begin now (and is one of `only`)."""
        before = None
        while True:
            async with self._engine.connect() as db:
                run_id = (await db.execute(first_waiting(thread_id, now_of(db)))).scalar()
            # Looked for again: another may have got the first place meanwhile.
            if run_id is None or run_id == before or (only is not None and run_id not in only):
                return None
            if claim := await self._take_up(thread_id, str(run_id)):
                return claim
            before = run_id

    async def orphan_of(self, thread_id: str) -> Claim | None:
        """The run of a thread whose holder is gone, taken over."""
        async with self._engine.connect() as db:
            run_id = (await db.execute(select(threads.c.run_id).where(threads.c.id == thread_id))).scalar()
        return await self._take_up(thread_id, str(run_id), orphan=True) if run_id else None

    @uninterrupted
    async def _take_up(self, thread_id: str, run_id: str, *, orphan: bool = False) -> Claim | None:
        async def work(db: AsyncConnection) -> Claim | None:
            row = await locked(db, thread_id)
            if row is not None and await self._may(db, row, run_id, orphan=orphan):
                return await self._gone_on(db, row, run_id, await run_row(db, run_id))
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

    async def _gone_on(self, db: AsyncConnection, row: Row, run_id: str, kept: Row | None) -> Claim | None:
        """The run, taken for this process with its thread's row locked; None where it may not go on.

        Args:
            row: The thread's row, with `now`.
            kept: The run's.
        """
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
        claim = await begin_attempt(db, row, kept, self._leases.holder, **values)
        record, hold = claim.record, claim.hold
        if record.attempts == 1 and record.message_id and hold and not hold.dirty:
            await store_message(db, record.thread_id, run_id, record.message_id, record.request)
        return claim

    @uninterrupted
    async def _taken(self, most: int) -> Sequence[Claim]:
        given = {"now": now_of(self._engine), "most": most}

        async def work(db: AsyncConnection) -> list[Claim]:
            found = (await db.execute(self._waiting, given)).mappings().all()
            for row in found:
                begins(row[f"{_RUN}id"])
            gone_on = [await self._gone_on(db, row, row[f"{_RUN}id"], _run_in(row)) for row in found]
            return [claim for claim in gone_on if claim is not None]

        with self._leases.claiming() as begins:
            claims = await self._writer.talk(work)
            taken = {claim.record.id for claim in claims}
        for run_id in begins.named - taken:
            self._leases.drop(run_id)
        return claims

    @uninterrupted
    async def end_unserved(self, run_id: str, seconds: float) -> bool:
        """End a run that nobody has taken up for so long; False where somebody has meanwhile."""

        async def work(db: AsyncConnection) -> bool:
            kept = await run_row(db, run_id)
            row = await locked(db, kept["thread_id"]) if kept else None
            if row is None or row["run_id"] is not None:
                return False
            kept = await run_row(db, run_id)
            if kept is None or kept["status"] != "queued":
                return False
            tag = f" with the tag '{kept['tag']}'" if kept["tag"] else ""
            error = NoWorker(
                f"no worker{tag} has taken up run '{run_id}' within {seconds:g} s; send it again, and tell "
                "whoever runs the service to start one: waystation serve --role worker"
            )
            await end_here(db, kept, status="failed", reason=NoWorker.code, error=problem_of(error))
            return True

        return await self._writer.talk(work)


def _run_in(row: RowMapping) -> dict[str, Any]:
    return {column.name: row[_RUN + column.name] for column in runs.c}
