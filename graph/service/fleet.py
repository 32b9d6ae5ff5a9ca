"""Which processes a service has: each says every few seconds that it is there, and what it executes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from core.database.engine import clock_in, insert_new, is_sqlite
from core.database.outage import DATABASE_ERRORS, DatabaseUnavailable, log_failure, uninterrupted
from core.health import Health, degraded, healthy
from core.installed import installed_version
from core.settings.roles import UNTAGGED, Duty
from graph.db.tables import workers
from graph.runs.lease import BEAT_SECONDS, LEASE_SECONDS, Leases
from graph.runs.lookup import LiveRuns

log = structlog.get_logger(__name__)

WORKERS = "workers"
# Rows of processes that died are kept for so long, for whoever wonders.
KEPT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A process that executes runs. `tags` empty: all of them."""

    holder: str
    tags: Sequence[str]
    at_once: int
    going: int
    release: str

    def takes(self, tag: str) -> bool:
        return not self.tags or (tag or UNTAGGED) in self.tags


class Fleet:
    """Says that this process is there, and who else is; on SQLite, which has one service, nothing."""

    def __init__(self, engine: AsyncEngine, leases: Leases, live: LiveRuns, duty: Duty) -> None:
        self._engine = engine
        self._holder = leases.holder
        self._live = live
        self._duty = duty

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[None]:
        """Inside the block others know that this process serves; at its end they know that it left."""
        if is_sqlite(self._engine) or not (self._duty.looks_after or self._duty.hands_over):
            yield
            return
        task = asyncio.create_task(self._beat(), name="worker beat")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.leave()

    async def _beat(self) -> None:
        while True:
            try:
                await self.tell()
            except DATABASE_ERRORS as error:
                log_failure(log, "worker_not_told", error)
            await asyncio.sleep(BEAT_SECONDS)

    @uninterrupted
    async def tell(self) -> None:
        """One beat."""
        async with self._engine.begin() as db:
            now = clock_in(db)
            told: dict[str, Any] = {
                "tags": sorted(self._duty.tags),
                # One that executes nothing is there all the same: who copies the database wants to know.
                "at_once": self._duty.at_once if self._duty.looks_after else 0,
                "going": len(self._live),
                "release": installed_version(),
                "seen_at": now,
            }
            mine = workers.c.holder == self._holder
            changed = workers.update().where(mine).values(told).returning(workers.c.holder)
            if (await db.execute(changed)).first() is None:
                await insert_new(db, workers, {**told, "holder": self._holder, "started_at": now})
                await db.execute(delete(workers).where(workers.c.seen_at < now - KEPT_SECONDS))

    async def leave(self) -> None:
        """Say that it is not there any more; it takes nothing up from before this."""
        try:
            async with self._engine.begin() as db:
                await db.execute(delete(workers).where(workers.c.holder == self._holder))
        except DatabaseUnavailable as error:
            log_failure(log, "worker_not_told", error)

    async def present(self) -> Sequence[WorkerRow]:
        """Who executes runs now, by the database's clock."""
        async with self._engine.connect() as db:
            return [WorkerRow(**row) for row in (await db.execute(_present(db))).mappings()]

    async def check(self) -> Health:
        """Degraded where nobody executes what is begun here, or nothing of some tag."""
        found = await self.present()
        details = {"workers": len(found), "going": sum(each.going for each in found)}
        if not found:
            return degraded(
                "no worker executes runs: what is begun here waits; start one: "
                "waystation serve --role worker",
                **details,
            )
        wanted = {UNTAGGED, *(self._duty.run_tags or {}).values()}
        if missing := sorted(tag for tag in wanted if not any(each.takes(tag) for each in found)):
            return degraded(f"no worker takes up runs of the tags: {', '.join(missing)}", **details)
        return healthy(**details)


def _present(db: AsyncConnection) -> Any:
    names = [workers.c[name] for name in ("holder", "tags", "at_once", "going", "release")]
    executing = workers.c.at_once > 0
    return select(*names).where(executing, workers.c.seen_at >= clock_in(db) - LEASE_SECONDS)
