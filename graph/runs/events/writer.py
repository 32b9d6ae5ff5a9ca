"""Writes the events of running turns into the database, a little behind them and many runs at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.database.outage import DATABASE_ERRORS, tell_failure
from core.whole import whole
from graph.db.tables import runs
from graph.errors import LeaseLost
from graph.runs.events.log import Entry
from graph.runs.events.store import store
from graph.runs.lease import assert_held
from graph.runs.record import SEQ_BLOCK, Run

log = structlog.get_logger()

# How far the database is behind a turn at most; readers in other processes see it.
BEHIND_SECONDS = 0.1
# After a database that is locked or full for a moment.
AGAIN_SECONDS = 0.5


class EventWriter:
    """Follows the logs of runs. One per process; use with `running`.

    Args:
        told: Called with the id of each run that has news in the database.
    """

    def __init__(self, engine: AsyncEngine, *, told: Callable[[str], None] = lambda _: None) -> None:
        self._engine = engine
        self._told = told
        self._behind: dict[str, Run] = {}
        self._work = asyncio.Event()
        # Held while rows are written: an ending waits for it, and then writes the rest itself.
        self._writing = asyncio.Lock()

    def behind(self, run: Run) -> None:
        """The run has told something; never waits."""
        self._behind[run.id] = run
        self._work.set()

    async def rest(self, run: Run) -> list[Entry]:
        """What the database does not have of the run, which is not written here any more."""
        self._behind.pop(run.id, None)
        async with self._writing:
            return run.log.unstored()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Writes for as long as the block runs."""
        task = asyncio.create_task(self._run(), name="event writer")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            await asyncio.sleep(BEHIND_SECONDS)
            self._work.clear()
            found, self._behind = self._behind, {}
            try:
                await self._write([found[run_id] for run_id in sorted(found)])
            except DATABASE_ERRORS as error:
                tell_failure(log, "events_not_stored", error)
                for run in found.values():
                    if not run.ending:
                        self.behind(run)
                await asyncio.sleep(AGAIN_SECONDS)

    @whole
    async def _write(self, found: list[Run]) -> None:
        async with self._writing:
            for run in found:
                if not run.ending:  # from then on its ending writes what is left
                    await self._write_one(run)

    async def _write_one(self, run: Run) -> None:
        entries, limit = run.log.unstored(), run.log.limit
        if not entries:
            return
        if entries[-1].seq > limit - SEQ_BLOCK // 2:
            limit = entries[-1].seq + SEQ_BLOCK
        try:
            async with self._engine.begin() as db:
                await assert_held(db, run.turn.hold)
                await self._reserve(db, run, limit)
                await store(db, run.thread_id, entries)
        except LeaseLost:
            run.stop("lost")
            return
        run.log.stored(entries[-1].seq)
        run.log.extend(limit)
        self._told(run.id)

    async def _reserve(self, db: AsyncConnection, run: Run, limit: int) -> None:
        if limit > run.log.limit:
            await db.execute(update(runs).where(runs.c.id == run.id).values(seq_limit=limit))
