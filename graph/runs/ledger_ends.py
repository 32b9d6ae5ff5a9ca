"""How runs end in the ledger: by whoever executed them, on somebody's wish, or for a holder that is gone."""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core.access import Principal
from core.database.engine import insert_new, now_of
from core.whole import whole
from graph.db.tables import receipts, runs, threads, transcript
from graph.errors import RunEnded
from graph.runs.events.store import spoken, store
from graph.runs.lease import Standing, Turn, let_go, locked, standing
from graph.runs.ledger_rows import Ending, announce, cancel_here, end_here, ended, places, tell
from graph.runs.lookup import RunLookup
from graph.runs.record import RunRecord, record_of


class LedgerEnds(RunLookup):
    """The part of the ledger that ends runs."""

    @whole
    async def close(self, turn: Turn, ending: Ending) -> bool:
        """End an attempt and give the thread back; True when another run waits for it.

        Raises:
            LeaseLost: Somebody has taken the thread over; nothing was written.
        """
        with self._leases.ending(turn.run_id):
            return await self._close(turn, ending)

    async def _close(self, turn: Turn, ending: Ending) -> bool:
        async with self._engine.begin() as db:
            await let_go(db, turn, **_shown(ending, now=now_of(db)))
            for message in ending.messages:
                await insert_new(db, transcript, message)
            await store(db, turn.thread_id, ending.events)
            over = update(runs).where(runs.c.id == turn.run_id).values(ended(ending, now=now_of(db)))
            run = (await db.execute(over.returning(runs))).mappings().one()
            if not ending.again:
                told = {"output": ending.output, "error": ending.error}
                await announce(db, run, status=ending.status, reason=ending.reason, **told)
            if ending.clean and ending.has_calls:
                await db.execute(delete(receipts).where(receipts.c.thread_id == turn.thread_id))
            return bool(await places(db, turn.thread_id))

    def leave(self, run_id: str) -> None:
        """Hold its thread no more: its end cannot be written here, and whoever comes next settles it."""
        self._leases.drop(run_id)

    @whole
    async def ask_to_stop(self, principal: Principal, run_id: str) -> RunRecord:
        """Cancel a run: one that somebody executes is asked to end, any other ends here.

        Raises:
            RunNotFound: There is none, or it is somebody else's.
            RunEnded: It is over.
        """
        record = await self.get(principal, run_id)
        async with self._engine.begin() as db:
            row = await locked(db, record.thread_id)
            kept = (await db.execute(select(runs).where(runs.c.id == run_id))).mappings().one()
            if kept["status"] == "running" and row and self._is_orphan(row, run_id):
                await self.bury(db, row, status="cancelled", reason="asked")
                gone = update(threads).where(threads.c.id == row["id"])
                await db.execute(
                    gone.values(
                        run_id=None, holder=None, lease_until=None, status="idle", fence=row["fence"] + 1
                    )
                )
            elif kept["status"] == "running":
                wish = update(runs).where(runs.c.id == run_id).values(stop_requested="cancel")
                await db.execute(wish)
            elif kept["status"] == "queued" or (kept["status"] == "interrupted" and row):
                await cancel_here(db, row, kept)
            else:
                raise RunEnded(f"run '{run_id}' has ended ({kept['status']})")
        return await self.get(principal, run_id)

    def _is_orphan(self, row: RowMapping, run_id: str) -> bool:
        return row["run_id"] == run_id and standing(row, self._leases) is Standing.ORPHANED

    async def bury(
        self, db: AsyncConnection, row: RowMapping, *, status: str = "interrupted", reason: str = "orphaned"
    ) -> None:
        """End the run of a thread whose holder is gone, in somebody's transaction."""
        kept = (await db.execute(select(runs).where(runs.c.id == row["run_id"]))).mappings().first()
        if kept is not None and kept["status"] == "running":
            record = record_of(kept)
            if record.message_id:
                await tell(db, record.thread_id, record.id, record.message_id, record.request)
            text = await spoken(db, record.id)
            await end_here(db, kept, status=status, reason=reason, answer=text)


def _shown(ending: Ending, *, now: float) -> dict[str, Any]:
    """What becomes of the thread's row."""
    shown: dict[str, Any] = {
        "status": ending.thread_status,
        "dirty": not ending.clean,
        "waiting": ending.waiting,
        "updated_at": now,
    }
    return shown if ending.again else {**shown, "turns": threads.c.turns + 1}
