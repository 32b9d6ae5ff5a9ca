"""What a caller holds of a run: its events, its result, and a way to end it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from core.errors import WaystationError
from graph.errors import Draining, error_from
from graph.runs.events.log import Entry
from graph.runs.record import RunRecord, TurnRequest

if TYPE_CHECKING:
    from graph.service.run_service import Runs


class Handle:
    """A run, wherever it goes on. Whoever began it says with `leave` that nobody reads any more.

    Args:
        mine: This caller began it; a repeated request only looks on.
        since: Where this caller's part of it begins: who answers a question has heard what led to it.
    """

    def __init__(self, runs: Runs, record: RunRecord, *, mine: bool, since: int = 0) -> None:
        self._runs = runs
        self._mine = mine
        self._since = since
        self._ended = False
        self.record = record
        self.id = record.id
        self.thread_id = record.thread_id

    @property
    def request(self) -> TurnRequest:
        return self.record.request

    async def entries(self, after: int = 0) -> AsyncIterator[Entry]:
        """The run's events above number `after`, or from this caller's part on, ready to be sent."""
        async for entry in self._runs.follow(self.id, after or self._since):
            self._ended = entry.event["type"] in ("done", "error")
            yield entry

    async def events(self, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """The run's events above number `after`; the last one is `done` or `error`."""
        async for entry in self.entries(after):
            yield entry.event

    async def result(self) -> dict[str, Any]:
        """The reply, when the run has ended or waits for a person.

        Raises:
            WaystationError: The run failed, or the service stops before it has ended.
            DatabaseUnavailable: The run waits for the database, for longer than a caller should.
        """
        record = await self._runs.settled(self.id, hurried=True)
        self._ended = not record.active
        if record.active and (failure := self._runs.failure_of(self.id)):
            raise failure
        if record.active:
            raise Draining(f"the service stops; run '{self.id}' goes on when it is back")
        if record.error:
            raise self._runs.failure_of(self.id) or error_from(record.error)
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
