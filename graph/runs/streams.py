"""Events of running runs on their way: into the database, a little behind, and to readers anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import structlog
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from core.database.outage import DATABASE_ERRORS, log_failure
from core.signals import Listener, Signals
from core.uninterrupted import uninterrupted
from graph.db.tables import runs
from graph.errors import LeaseLost
from graph.runs.events import LAST, EventLog, EventStore, LoggedEvent, store
from graph.runs.lease import assert_held
from graph.runs.lookup import RunLookup
from graph.runs.record import SEQ_BLOCK, Run

log = structlog.get_logger()

# How far the database is behind a turn at most; readers in other processes see it.
BEHIND_SECONDS = 0.1
# After a database that is locked or full for a moment.
AGAIN_SECONDS = 0.5
# Signals carry the news; one that gets lost must not cost a reader more than this.
LOOK_AGAIN_SECONDS = 30.0


def topic_of(run_id: str) -> str:
    """What is signalled when a run has new events or has changed."""
    return f"run:{run_id}"


def signalled(signals: Signals) -> Callable[[str], None]:
    """Tells every process of news of a run."""
    return lambda run_id: signals.send(topic_of(run_id))


class EventWriter:
    """Stores the logs of runs, many at a time. One per process; use with `running`.

    Args:
        stored: Called with the id of each run that has news in the database.
    """

    def __init__(self, engine: AsyncEngine, *, stored: Callable[[str], None] = lambda _: None) -> None:
        self._engine = engine
        self._stored = stored
        self._behind: dict[str, Run] = {}
        self._work = asyncio.Event()
        # Held while rows are written: an ending waits for it, and then writes the rest itself.
        self._writing = asyncio.Lock()

    def behind(self, run: Run) -> None:
        """The run has new events; never waits."""
        self._behind[run.id] = run
        self._work.set()

    async def rest(self, run: Run) -> list[LoggedEvent]:
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
                log_failure(log, "events_not_stored", error)
                for run in found.values():
                    if not run.ending:
                        self.behind(run)
                await asyncio.sleep(AGAIN_SECONDS)

    @uninterrupted
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
                await assert_held(db, run.hold)
                if limit > run.log.limit:
                    await db.execute(update(runs).where(runs.c.id == run.id).values(seq_limit=limit))
                await store(db, run.thread_id, entries)
        except LeaseLost:
            run.stop("lost")
            return
        run.log.stored(entries[-1].seq)
        run.log.extend(limit)
        self._stored(run.id)


class Follower:
    """Gives readers the events of runs: from memory while a run goes on here, else from the database.

    Args:
        live: The runs that go on in this process, by id.
    """

    def __init__(
        self, live: Mapping[str, Run], events: EventStore, lookup: RunLookup, signals: Signals
    ) -> None:
        self._live = live
        self._events = events
        self._lookup = lookup
        self._signals = signals
        # The service stops: nobody waits here any more for what other processes do.
        self.closing = False
        # The service is about to stop: a reader that has heard of a run's end, for now, is let go.
        self.draining = False
        self._readers = 0
        self._left = asyncio.Event()

    async def read(self, run_id: str, after: int = 0) -> AsyncIterator[LoggedEvent]:
        """Every event above number `after`, as they come, until the run has no more of them.

        A run that waits for a person has no more for now; a reader that comes
        back with its last number gets what follows the answer.
        """
        place, here, over = after, None, False
        self._readers += 1
        try:
            with self._signals.listen(topic_of(run_id)) as ear:
                while not over:
                    here = self._at_hand(run_id, here)
                    found, place, over = await self._more(run_id, place, here, ear)
                    for entry in found:
                        place = entry.seq
                        yield entry
                        if self.draining and entry.event["type"] in LAST:
                            return
        finally:
            self._readers -= 1
            self._left.set()

    async def left(self, *, seconds: float) -> None:
        """Returns when nobody reads any more, or after `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._readers:
                    self._left.clear()
                    await self._left.wait()

    def _at_hand(self, run_id: str, before: EventLog | None) -> EventLog | None:
        """The run's log in this process. Of one that another process has by now this one has not all."""
        run = self._live.get(run_id)
        found = run.log if run is not None else before
        return None if found is None or found.abandoned else found

    async def _more(
        self, run_id: str, place: int, here: EventLog | None, ear: Listener
    ) -> tuple[Sequence[LoggedEvent], int, bool]:
        """The next events, where the reader stands before them, and whether nothing comes behind them."""
        if here is not None and here.keeps(place):
            found = await here.more(place)
            last = found[-1].seq if found else place
            return found, place, here.closed and last >= here.last
        # Up to here everything is stored: looked at before the database is read.
        floor = here.floor if here is not None else 0
        if rows := await self._events.read(run_id, place):
            return rows, place, False
        # An earlier attempt has less than it had reserved: the present one begins above that.
        over = here is None and not await self._goes_on(run_id, place, ear)
        return (), max(place, floor), over

    async def _goes_on(self, run_id: str, place: int, ear: Listener) -> bool:
        """False when there is nothing to wait for; waits for news of a run that goes on elsewhere."""
        record = await self._lookup.find(run_id)
        if record is None:
            return False
        if not record.active:
            return bool(await self._events.read(run_id, place, limit=1))
        if self.closing:
            return False
        await ear.heard(LOOK_AGAIN_SECONDS)
        return True
