"""What a caller holds of a run: its events, its result, and a way to end it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from core.access import Principal
from core.errors import WaystationError
from graph.errors import Draining, error_from
from graph.runs.events import LAST, LoggedEvent
from graph.runs.record import RunRecord, TurnRequest


class RunAccess(Protocol):
    """What a handle needs of whatever executes runs (see `graph.service.run_service.Runs`)."""

    def follow(self, run_id: str, after: int = 0) -> AsyncIterator[LoggedEvent]: ...

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
        self._since = since
        self._ended = False
        self.record = record
        self.id = record.id
        self.thread_id = record.thread_id

    @property
    def request(self) -> TurnRequest:
        return self.record.request

    async def entries(self, after: int = 0) -> AsyncIterator[LoggedEvent]:
        """The run's events above number `after`, or from this caller's part on, ready to be sent."""
        async for entry in self._runs.follow(self.id, after or self._since):
            self._ended = entry.event["type"] in LAST
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
