"""Taking up runs that wait: by whoever executes runs, and their end where nobody does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Float, Integer, RowMapping, Select, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.database.engine import CLOCK, is_sqlite, now_of
from core.database.outage import uninterrupted
from graph.db.database import writer_of
from graph.db.tables import runs, threads
from graph.errors import NoWorker, problem_of
from graph.runs.lease import Leases, locked
from graph.runs.ledger import RunLedger
from graph.runs.lookup import FREE, RunLookup, is_first, queued_by
from graph.runs.rows import Claim, end_here, run_row

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

    def __init__(self, engine: AsyncEngine, leases: Leases, lookup: RunLookup, ledger: RunLedger) -> None:
        self._engine = engine
        self._writer = writer_of(engine)
        self._leases = leases
        self._lookup = lookup
        self._ledger = ledger
        self._waiting = _waiting(lookup.tags)

    async def take(self, most: int) -> Sequence[Claim]:
        """Up to so many runs that wait for a free thread, taken for this process, the longest waiting first.

        Several processes that look at once do not wait for each other, and none gets what another has.
        """
        if not is_sqlite(self._engine):
            return await self._taken(min(most, AT_MOST))
        found = [await self._ledger.next_of(thread) for thread in await self._lookup.waiting_threads(most)]
        return [claim for claim in found if claim is not None]

    @uninterrupted
    async def _taken(self, most: int) -> Sequence[Claim]:
        given = {"now": now_of(self._engine), "most": most}

        async def work(db: AsyncConnection) -> list[Claim]:
            found = (await db.execute(self._waiting, given)).mappings().all()
            for row in found:
                begins(row[f"{_RUN}id"])
            gone_on = [await self._gone_on(db, row) for row in found]
            return [claim for claim in gone_on if claim is not None]

        with self._leases.claiming() as begins:
            claims = await self._writer.talk(work)
            taken = {claim.record.id for claim in claims}
        for run_id in begins.named - taken:
            self._leases.drop(run_id)
        return claims

    async def _gone_on(self, db: AsyncConnection, row: RowMapping) -> Claim | None:
        kept: dict[str, Any] = {column.name: row[_RUN + column.name] for column in runs.c}
        return await self._ledger.gone_on(db, row, kept["id"], kept)

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
