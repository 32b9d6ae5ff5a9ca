"""Looks after runs that nobody executes: orphans of dead processes, and those that wait for a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import structlog

from core.database.outage import DATABASE_ERRORS, log_failure
from core.errors import WaystationError
from core.signals import Signals
from graph.runs.lookup import RunLookup
from graph.service.run_service import QUEUE, RunService

log = structlog.get_logger()

SWEEP_SECONDS = 10.0
# Above this many turns a process leaves waiting runs to others, or to later.
AT_ONCE = 64


class Supervisor:
    """One per process of a service, whose `RunLedger` is supervised; a command or a notebook has none."""

    def __init__(self, lookup: RunLookup, runs: RunService, signals: Signals) -> None:
        self._lookup = lookup
        self._runs = runs
        self._signals = signals

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Looks at once, then at every signal, and every ten seconds in any case."""
        task = asyncio.create_task(self._watch(), name="run supervisor")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def sweep(self) -> None:
        """Adopt what is orphaned, begin what waits for a free thread."""
        await self._lookup.read_clock()
        await self._each(await self._lookup.orphaned_threads(), self._runs.adopt)
        await self._each(await self._lookup.waiting_threads(AT_ONCE), self._runs.go_on_with)

    async def _each(self, threads: Sequence[str], act: Callable[[str], Awaitable[bool]]) -> None:
        for thread_id in threads:
            if len(self._runs.live) >= AT_ONCE or self._runs.draining:
                return
            try:
                await act(thread_id)
            except WaystationError as error:
                log.warning("run_not_gone_on_with", thread_id=thread_id, code=error.code)

    async def _watch(self) -> None:
        with self._signals.listen(QUEUE) as ear:
            while True:
                try:
                    await self.sweep()
                except DATABASE_ERRORS as error:
                    # A database that is away for a moment: the next round looks again.
                    log_failure(log, "sweep_failed", error)
                await ear.heard(SWEEP_SECONDS)
