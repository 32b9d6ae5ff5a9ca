"""The table of webhook deliveries: what was to be sent, and what became of it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.database.engine import insert_new, now_of
from core.database.outage import uninterrupted
from core.events.tables import webhook_deliveries as table

WAITING = "waiting"
DONE = "done"
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one receiver. `attempt` counts the one that begins now."""

    id: str
    hook: str
    url: str | None
    event: str
    body: bytes
    attempt: int


def delivery_row(
    hook: str, event: str, body: bytes, *, now: float, url: str | None = None
) -> dict[str, object]:
    """A delivery that waits, as a row for whoever keeps it in a transaction of its own."""
    return {
        "id": f"msg_{secrets.token_urlsafe(18)}",
        "hook": hook,
        "url": url,
        "event": event,
        "body": body.decode(),
        "status": WAITING,
        "attempts": 0,
        "last_error": "",
        "created_at": now,
    }


class Deliveries:
    """Rows of the ledger, on SQLite and PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    def now(self) -> float:
        """Epoch seconds, by the clock that all processes of the database share."""
        return now_of(self._engine)

    @uninterrupted
    async def add(self, hook: str, event: str, body: bytes) -> str:
        """Keep what is to be sent; gives the delivery's id, which the receiver sees."""
        row = delivery_row(hook, event, body, now=self.now())
        async with self._engine.begin() as db:
            await insert_new(db, table, row)
        return str(row["id"])

    @uninterrupted
    async def begin(self, delivery_id: str) -> Delivery | None:
        """Count an attempt; None when the delivery has ended or is gone."""
        waiting = (table.c.id == delivery_id) & (table.c.status == WAITING)
        async with self._engine.begin() as db:
            await db.execute(update(table).where(waiting).values(attempts=table.c.attempts + 1))
            row = (await db.execute(select(table).where(waiting))).one_or_none()
        if row is None:
            return None
        return Delivery(row.id, row.hook, row.url, row.event, row.body.encode(), row.attempts)

    async def note(self, delivery_id: str, error: str) -> None:
        """Why an attempt failed; another one follows."""
        await self._set(delivery_id, last_error=error)

    async def end(self, delivery_id: str, status: str, error: str = "") -> None:
        """DONE, or FAILED with the reason."""
        await self._set(delivery_id, status=status, last_error=error, ended_at=self.now())

    async def waiting_since(self, at: float) -> list[str]:
        """Ids of those made after `at` (epoch seconds) that have not ended, oldest first."""
        open_ones = (table.c.status == WAITING) & (table.c.created_at >= at)
        async with self._engine.connect() as db:
            found = await db.execute(select(table.c.id).where(open_ones).order_by(table.c.created_at))
            return [row.id for row in found]

    async def failed_since(self, at: float) -> dict[str, int]:
        """How many were given up after `at` (epoch seconds), by receiver."""
        failed = (table.c.status == FAILED) & (table.c.ended_at >= at)
        async with self._engine.connect() as db:
            found = await db.execute(select(table.c.hook, func.count()).where(failed).group_by(table.c.hook))
            return {row[0]: row[1] for row in found}

    @uninterrupted
    async def forget(self, before: float) -> int:
        """Delete those that were made before (epoch seconds); says how many."""
        async with self._engine.begin() as db:
            return (await db.execute(delete(table).where(table.c.created_at < before))).rowcount

    @uninterrupted
    async def _set(self, delivery_id: str, **values: object) -> None:
        async with self._engine.begin() as db:
            await db.execute(update(table).where(table.c.id == delivery_id).values(**values))
