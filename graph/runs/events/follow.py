"""Read the events of a run, wherever it goes: here, in another process, or nowhere any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

from core.signals import Ear, Signals
from graph.runs.events.log import LAST, Entry
from graph.runs.events.store import EventStore
from graph.runs.lookup import RunLookup
from graph.runs.record import Run

# Signals carry the news; one that gets lost must not cost a reader more than this.
LOOK_AGAIN_SECONDS = 30.0


def topic_of(run_id: str) -> str:
    """What is signalled when a run has told something or has changed."""
    return f"run:{run_id}"


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
        # The service stops: nobody waits here any more for what other processes tell.
        self.closing = False
        # The service is about to stop: a reader that has heard of a run's end, for now, is let go.
        self.draining = False
        self._readers = 0
        self._left = asyncio.Event()

    async def read(self, run_id: str, after: int = 0) -> AsyncIterator[Entry]:
        """Every event above number `after`, as they come, until the run has no more to tell.

        A run that waits for a person has told all for now; a reader that comes
        back with its last number gets what follows the answer.
        """
        self._readers += 1
        try:
            async for entry in self._read(run_id, after):
                yield entry
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

    async def _read(self, run_id: str, after: int) -> AsyncIterator[Entry]:
        place = after
        with self._signals.listen(topic_of(run_id)) as ear:
            while True:
                live = self._at_hand(run_id)
                if live is not None and live.log.keeps(place):
                    async for entry in live.log.read(place):
                        place = entry.seq
                        yield entry
                    if live.log.closed and place >= live.log.last:
                        return
                    continue
                # Up to here everything is stored: looked at before the database is read.
                floor, moved = live.log.floor if live else 0, place
                async for entry in self._stored(run_id, place):
                    place = entry.seq
                    yield entry
                    if self.draining and entry.event["type"] in LAST:
                        return
                if place == moved and not await self._goes_on(run_id, place, live, ear):
                    return
                # An earlier attempt told less than it had reserved: the present one begins above that.
                place = max(place, floor)

    def _at_hand(self, run_id: str) -> Run | None:
        """The run, when it goes on here. Of one that another process has by now this one has not all."""
        live = self._live.get(run_id)
        return None if live is None or live.log.abandoned else live

    async def _stored(self, run_id: str, after: int) -> AsyncIterator[Entry]:
        while rows := await self._events.read(run_id, after):
            for entry in rows:
                after = entry.seq
                yield entry

    async def _goes_on(self, run_id: str, place: int, live: Run | None, ear: Ear) -> bool:
        """False when there is nothing to wait for; waits for news of a run that goes on elsewhere."""
        if live is not None:
            return True
        record = await self._lookup.find(run_id)
        if record is None:
            return False
        if not record.active:
            return bool(await self._events.read(run_id, place, limit=1))
        if self.closing:
            return False
        await ear.heard(LOOK_AGAIN_SECONDS)
        return True
