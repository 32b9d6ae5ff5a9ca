"""Events of running runs on their way: into the database, a little behind, and to readers anywhere.

Readers have them from memory, by mail, or from the database, wherever the run goes on.
A `Handle` is what a caller holds of a run: its events, its result, and a way to end it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.access import Principal
from core.database.engine import now_of
from core.database.outage import Endurance, log_failure, uninterrupted
from core.database.units import Unit
from core.errors import WaystationError
from core.signals import Listener, Signals
from graph.db.database import writer_of
from graph.db.tables import Inserting, run_events, worded
from graph.errors import Draining, LeaseLost, error_from
from graph.runs.events import LAST, EventLog, EventStore, LoggedEvent, rows_of_events, topic_of
from graph.runs.lease import fence_of
from graph.runs.lookup import RunLookup
from graph.runs.record import SEQ_BLOCK, Run, RunRecord, TurnRequest
from graph.runs.tails import FIRST_LOOK_S, LONGEST_LOOK_S, Mirror, Mirrors, Tails

log = structlog.get_logger()

# How far the database is behind a turn at most; readers in processes without mail see it. Of many runs more
# is written together: a row for each of them every tenth of a second was a tenth of a turn's CPU.
BEHIND_SECONDS = 0.1
BEHIND_EACH_SECONDS = 0.02
LONGEST_BEHIND_SECONDS = 0.6
FEW = 8
# So many at a time: turns wait for their steps in the same line, and one that ends for what is on its way.
AT_ONCE = 16
# Signals carry the news; one that gets lost must not cost a reader more than this.
LOOK_AGAIN_SECONDS = 30.0
# As long as a turn waits for the database.
OUTAGE_SECONDS = 60.0
WAITS = "waiting_for_worker"
# After a database that is locked or full for a moment.
AGAIN_SECONDS = 0.5
# Whoever does not know whether they were stored writes them again.
_EVENTS = Inserting(run_events, new_only=True)
_RESERVE = "UPDATE runs SET seq_limit = ? WHERE id = ?"


class EventWriter:
    """Stores the logs of runs, many at a time. One per process; use with `running`.

    Args:
        signals: Told of each run that has news in the database.
        tails: Send what runs tell to processes that answer for them; None where there is no mail.
    """

    def __init__(self, engine: AsyncEngine, signals: Signals, tails: Tails | None = None) -> None:
        self._engine = engine
        self._writer = writer_of(engine)
        self._signals = signals
        self._tails = tails
        self._behind: dict[str, Run] = {}
        self._work = asyncio.Event()
        # Of the runs that told something last time, those above a few.
        self._told_before = 0
        # Held while rows are written: endings of these runs wait for it, and then write the rest themselves.
        self._writing, self._on_way = asyncio.Lock(), set[str]()

    def behind(self, run: Run) -> None:
        """The run has new events; never waits."""
        self._behind[run.id] = run
        self._work.set()
        if self._tails is not None:
            self._tails.news(run.id)

    async def rest(self, run: Run) -> list[LoggedEvent]:
        """What the database does not have of the run, which is not written here any more."""
        self._behind.pop(run.id, None)
        async with self._writing if run.id in self._on_way else nullcontext():
            return run.log.unstored()

    async def tell_stored_end(self, run: Run, place: int) -> None:
        """See `EventStore.tell_end`."""
        await EventStore(self._engine).tell_end(run.id, run.log, place)

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
            await asyncio.sleep(self._pause())
            self._work.clear()
            found, self._behind = self._behind, {}
            self._told_before = max(len(found) - FEW, 0)
            runs = sorted(found.values(), key=lambda run: run.id)
            parts = [runs[start : start + AT_ONCE] for start in range(0, len(runs), AT_ONCE)]
            # What cannot be stored of one run keeps nobody else's from it.
            if faults := [fault for part in parts for fault in await self._write(part)]:
                log_failure(log, "events_not_stored", faults[-1])
                await asyncio.sleep(AGAIN_SECONDS)

    def _pause(self) -> float:
        return min(BEHIND_SECONDS + self._told_before * BEHIND_EACH_SECONDS, LONGEST_BEHIND_SECONDS)

    @uninterrupted
    async def _write(self, found: list[Run]) -> list[BaseException]:
        """All of them with one commit, and what went wrong; of a run whose thread was taken over nothing."""
        async with self._writing:
            # Once a run ends, its ending writes what is left.
            units = [(run, news) for run in found if not run.ending and (news := self._news_of(run))]
            self._on_way = {run.id for run, _ in units}
            # A row of these that cannot be stored must not take a step's writes along.
            written = [self._writer.write(news.unit, alone=True) for _, news in units]
            outcomes = await asyncio.gather(*written, return_exceptions=True)
            faults = [self._told(run, news, out) for (run, news), out in zip(units, outcomes, strict=True)]
        return [fault for fault in faults if fault is not None]

    def _news_of(self, run: Run) -> _News | None:
        entries, limit = run.log.unstored(), run.log.limit
        if not entries:
            return None
        if entries[-1].seq > limit - SEQ_BLOCK // 2:
            limit = entries[-1].seq + SEQ_BLOCK
        rows = rows_of_events(run.thread_id, entries, now=now_of(self._engine))
        statements = [_EVENTS.into(self._engine, rows)]
        if limit > run.log.limit:
            statements.append((worded(self._engine, _RESERVE), [(limit, run.id)]))
        return _News(Unit(fence_of(run.hold), statements), entries[-1].seq, limit)

    def _told(self, run: Run, news: _News, outcome: Any) -> BaseException | None:
        if isinstance(outcome, LeaseLost):
            run.stop("lost")
        elif isinstance(outcome, BaseException):
            if not run.ending:
                self.behind(run)
            return outcome
        else:
            run.log.stored(news.last)
            run.log.extend(news.limit)
            tell = self._signals.send if self._tails is None else self._tails.stored(run.id, self._signals)
            tell(topic_of(run.id))
        return None


@dataclass(frozen=True, slots=True)
class _News:
    """What the database does not have of a run yet: up to which number, and what is reserved with it."""

    unit: Unit
    last: int
    limit: int


class Follower:
    """Gives readers the events of runs: from memory while one goes on here, by mail, or from the database.

    Args:
        live: The runs that go on in this process, by id.
        mirrors: Those that are sent here; without them a reader is as far behind as the database.
    """

    def __init__(
        self,
        live: Mapping[str, Run],
        events: EventStore,
        lookup: RunLookup,
        signals: Signals,
        mirrors: Mirrors | None = None,
    ) -> None:
        self._live = live
        self.events = events
        self.lookup = lookup
        self._signals = signals
        self.mirrors = mirrors or Mirrors(signals)
        # The service stops: nobody waits here any more for what other processes do.
        self.closing = False
        # The service is about to stop: a reader that has heard of a run's end, for now, is let go.
        self.draining = False
        self._readers = 0
        self._left = asyncio.Event()

    async def read(self, run_id: str, after: int = 0) -> AsyncIterator[Sequence[LoggedEvent]]:
        """Every event above number `after`, what has come by now together, until the run has no more.

        A run that waits for a person has no more for now; a reader that comes
        back with its last number gets what follows the answer.
        """
        self._readers += 1
        try:
            with self._signals.listen(topic_of(run_id)) as ear, _Reading(self, run_id, after, ear) as reading:
                if run_id not in self._live and self.mirrors.is_fresh(run_id):
                    reading.mirror()
                    await ear.heard(FIRST_LOOK_S)
                while not reading.over:
                    # What it reads may go on when the database is back: so does it.
                    if found := await Endurance(OUTAGE_SECONDS).through(reading.more):
                        yield found
                        if self.draining and found[-1].kind in LAST:
                            return
        finally:
            self._readers -= 1
            self._left.set()

    def close(self) -> None:
        """The service stops: readers of what goes on elsewhere are let go, also where nothing comes."""
        self.closing = True
        self.mirrors.give_up()

    async def left(self, *, seconds: float) -> None:
        """Returns when nobody reads any more, or after `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._readers:
                    self._left.clear()
                    await self._left.wait()

    def at_hand(self, run_id: str, before: EventLog | None) -> EventLog | None:
        """The run's log in this process. Of one that another process has by now this one has not all."""
        run = self._live.get(run_id)
        found = run.log if run is not None else self.mirrors.get(run_id) or before
        return None if found is None or found.abandoned else found


class _Reading(ExitStack):
    """One reader: where it stands, and from where it has what comes next."""

    def __init__(self, follower: Follower, run_id: str, after: int, ear: Listener) -> None:
        super().__init__()
        self._follower = follower
        self._run_id = run_id
        self._place = after
        self._ear = ear
        self._mirrored = False
        self._here: EventLog | None = None
        self._told_waiting = False
        self._pause = FIRST_LOOK_S
        self.over = False

    async def more(self) -> Sequence[LoggedEvent]:
        """The next events; none where there is nothing to say yet, or any more."""
        here = self._here = self._follower.at_hand(self._run_id, self._here)
        if here is not None and here.keeps(self._place):
            found = await here.more(self._place)
            if found or not isinstance(here, Mirror):
                return self._given(found, over=here.closed)
        # Up to here everything is stored: looked at before the database is read.
        floor = _sure_of(here)
        if rows := await self._follower.events.read(self._run_id, self._place):
            return self._given(rows)
        # An earlier attempt has less than it had reserved: the present one begins above that.
        self._place = max(self._place, floor)
        return [] if here is not None and not isinstance(here, Mirror) else await self._elsewhere(here)

    def mirror(self) -> Mirror | None:
        """The run's log as its process sends it, for as long as somebody here reads that."""
        if not self._mirrored:
            self._mirrored = True
            self.enter_context(self._follower.mirrors.reading(self._run_id))
        return self._follower.mirrors.follow(self._run_id)

    def _given(self, found: Sequence[LoggedEvent], *, over: bool = False) -> Sequence[LoggedEvent]:
        if found:
            self._place, self._pause = found[-1].seq, FIRST_LOOK_S
        self.over = over and (self._here is None or self._place >= self._here.last)
        return found

    async def _elsewhere(self, here: EventLog | None) -> Sequence[LoggedEvent]:
        """Look how a run is that goes on elsewhere, and wait for news of it; a notice where nobody has it."""
        record = await self._follower.lookup.find(self._run_id)
        if record is None or not record.active:
            # It may have ended behind the look for events.
            self.over = record is None or not await self._follower.events.read(
                self._run_id, self._place, limit=1
            )
            return ()
        if self._follower.closing:
            self.over = True
            return ()
        if notice := await self._notice(record):
            return notice
        mirror = self.mirror()
        if mirror is None:
            await self._ear.heard(LOOK_AGAIN_SECONDS)
        elif mirror is not here or mirror.closed or not mirror.keeps(self._place):
            await self._ear.heard(self._pause)
            self._pause = min(2 * self._pause, LONGEST_LOOK_S)
        return ()

    async def _notice(self, record: RunRecord) -> Sequence[LoggedEvent]:
        """Says once that it waits for a worker: no event of the run, so that it has no number of its own."""
        if self._told_waiting or record.status != "queued":
            return ()
        if not await self._follower.lookup.waits_for_worker(record.id):
            return ()
        self._told_waiting = True
        tag = f" with the tag '{record.tag}'" if record.tag else ""
        said = {"code": WAITS, "detail": f"the run is waiting for a worker{tag}; none has taken it up yet"}
        return [LoggedEvent({"seq": self._place, "run_id": record.id, "type": "notice", **said})]


def _sure_of(here: EventLog | None) -> int:
    """The number up to which a reader that finds nothing in the database has missed nothing."""
    if isinstance(here, Mirror):
        return here.sure if here.begun else 0
    return here.floor if here is not None else 0


class RunAccess(Protocol):
    """What a handle needs of whatever executes runs (see `graph.service.run_service.Runs`)."""

    def follow(self, run_id: str, after: int = 0) -> AsyncIterator[Sequence[LoggedEvent]]: ...

    async def settled(
        self, run_id: str, *, timeout: float | None = None, hurried: bool = False
    ) -> RunRecord: ...

    def failure_of(self, run_id: str) -> WaystationError | None: ...

    async def cancel(self, principal: Principal, run_id: str) -> RunRecord: ...

    def abandon(self, record: RunRecord) -> None: ...


class Handle:
    """A run, wherever it goes on. Whoever began it says with `leave` that nobody reads any more.

    Args:
        mine: This caller began it; a repeated request only looks on.
        since: Where this caller's part of it begins: who answers a question has heard what led to it.
    """

    def __init__(self, runs: RunAccess, record: RunRecord, *, mine: bool, since: int = 0) -> None:
        self._runs = runs
        self._mine = mine
        # Number of the last event before this caller's part of the run.
        self.since = since
        self._ended = False
        self.record = record
        self.id = record.id
        self.thread_id = record.thread_id

    @property
    def request(self) -> TurnRequest:
        return self.record.request

    async def entries(self, after: int = 0) -> AsyncIterator[Sequence[LoggedEvent]]:
        """The run's events above number `after`, or from this caller's part on, ready to be sent.

        What has come by now is given together: a reader that is behind catches up in one step.
        """
        async for found in self._runs.follow(self.id, after or self.since):
            self._ended = found[-1].kind in LAST
            yield found

    async def events(self, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """The run's events above number `after`; the last one is `done` or `error`."""
        async for found in self.entries(after):
            for entry in found:
                yield entry.event

    async def result(self) -> dict[str, Any]:
        """The reply, when the run has ended or waits for a person.

        Raises:
            WaystationError: The run failed, or the service stops before it has ended.
            DatabaseUnavailable: The run waits for the database, for longer than a caller should.
        """
        record = await self._runs.settled(self.id, hurried=True)
        self._ended = not record.active
        failure = self._runs.failure_of(self.id)
        if record.active:
            raise failure or Draining(f"the service stops; run '{self.id}' goes on when it is back")
        if record.error:
            raise failure or error_from(record.error)
        if record.output is None:
            raise WaystationError(f"run '{self.id}' ended without a reply")
        return record.output

    async def cancel(self) -> None:
        """End the run, wherever it goes on; its last event is `done` with the status cancelled."""
        await self._runs.cancel(self.request.principal, self.id)

    def leave(self) -> None:
        """The reader that began the run went away: the run ends or goes on, as its caller chose."""
        if self._mine and not self._ended and self.request.on_disconnect == "cancel":
            self._runs.abandon(self.record)
