"""Looks after runs that nobody executes: orphans of dead processes, and those that wait for a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import structlog

from core.database.outage import DATABASE_ERRORS, log_failure
from core.errors import WaystationError
from core.settings.roles import Duty
from core.signals import Signals
from graph.runs.claims import AT_MOST, Claims
from graph.runs.events import topic_of
from graph.runs.lookup import RunLookup
from graph.service.run_service import QUEUE, RunService

log = structlog.get_logger()

SWEEP_SECONDS = 5.0
# How often a process that hands runs over looks for those that nobody takes up.
UNSERVED_SECONDS = 5.0


class Supervisor:
    """One per process of a service; a command or a notebook has none.

    Args:
        duty: How many runs this process takes up, or that it takes up none.
    """

    def __init__(
        self, lookup: RunLookup, runs: RunService, claims: Claims, signals: Signals, duty: Duty
    ) -> None:
        self._lookup = lookup
        self._runs = runs
        self._claims = claims
        self._signals = signals
        self._duty = duty

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Looks at once, then at every signal, and every few seconds in any case."""
        work = self._watch() if self._duty.looks_after else self._end_unserved()
        task = asyncio.create_task(work, name="run supervisor")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def sweep(self) -> None:
        """Adopt what is orphaned, begin what waits for a free thread."""
        await self._lookup.read_clock()
        await self._each(await self._lookup.orphaned_threads(), self._runs.adopt)
        await self.take()

    async def take(self) -> None:
        """Begin what waits for a free thread, as much of it as there is room for."""
        while (room := self._room()) > 0:
            found = await self._claims.take(room)
            self._runs.go_on(found)
            if len(found) < min(room, AT_MOST):
                return
        # Looked at again when a run ends here.
        self._runs.is_full = True

    def _room(self) -> int:
        return 0 if self._runs.draining else self._duty.at_once - len(self._runs.live)

    async def _each(self, threads: Sequence[str], act: Callable[[str], Awaitable[bool]]) -> None:
        for thread_id in threads:
            if self._room() <= 0:
                return
            try:
                await act(thread_id)
            except WaystationError as error:
                log.warning("run_not_gone_on_with", thread_id=thread_id, code=error.code)

    async def _watch(self) -> None:
        """A full look now and then, and one for what waits at every signal."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        with self._signals.listen(QUEUE) as ear:
            while True:
                is_due = loop.time() >= due
                if is_due:
                    due = loop.time() + SWEEP_SECONDS
                await self._tried(self.sweep if is_due else self.take)
                await ear.heard(max(due - loop.time(), 0))

    async def _end_unserved(self) -> None:
        """End runs that somebody waits for on a connection, when nobody takes them up."""
        while self._duty.wait_s:
            await asyncio.sleep(min(UNSERVED_SECONDS, self._duty.wait_s / 2))
            await self._tried(self.end_unserved)

    async def end_unserved(self) -> None:
        """One round of it."""
        await self._lookup.read_clock()
        for run_id in await self._lookup.unserved(self._duty.wait_s, waited_for=True):
            if await self._claims.end_unserved(run_id, self._duty.wait_s):
                log.warning("run_unserved", run_id=run_id)
                self._signals.send(topic_of(run_id))

    async def _tried(self, look: Callable[[], Awaitable[None]]) -> None:
        try:
            await look()
        except DATABASE_ERRORS as error:
            # A database that is away for a moment: the next round looks again.
            log_failure(log, "sweep_failed", error)
