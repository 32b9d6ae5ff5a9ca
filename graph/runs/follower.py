"""Readers of runs: they have a run's events from memory, by mail, or from the database, wherever it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress

from core.database.outage import Endurance
from core.signals import Listener, Signals
from graph.runs.events import LAST, EventLog, EventStore, LoggedEvent, topic_of
from graph.runs.lookup import RunLookup
from graph.runs.record import Run, RunRecord
from graph.runs.tails import FIRST_LOOK_S, LONGEST_LOOK_S, Mirror, Mirrors

# Signals carry the news; one that gets lost must not cost a reader more than this.
LOOK_AGAIN_SECONDS = 30.0
# As long as a turn waits for the database.
OUTAGE_SECONDS = 60.0
WAITS = "waiting_for_worker"


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
            with self._signals.listen(topic_of(run_id)) as ear, self.mirrors.reading(run_id):
                reading = _Reading(self, run_id, after, ear)
                if run_id not in self._live and self.mirrors.is_fresh(run_id):
                    self.mirrors.follow(run_id)
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


class _Reading:
    """One reader: where it stands, and from where it has what comes next."""

    def __init__(self, follower: Follower, run_id: str, after: int, ear: Listener) -> None:
        self._follower = follower
        self._run_id = run_id
        self._place = after
        self._ear = ear
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
        mirror = self._follower.mirrors.follow(self._run_id)
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
