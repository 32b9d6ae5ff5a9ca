"""Wishes of somebody, in whatever process, that a run which goes on here shall stop."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import structlog

from core.database.outage import DATABASE_ERRORS, log_failure
from core.signals import Signals
from graph.runs.lease import BEAT_SECONDS
from graph.runs.lookup import LiveRuns, RunLookup

log = structlog.get_logger()

STOPS = "stops"
# How long a run may take to its next checkpoint when another message takes its place.
GRACE_SECONDS = 20.0


class Stops:
    """Stops the runs of this process that shall stop. One per process."""

    def __init__(self, live: LiveRuns, lookup: RunLookup, signals: Signals) -> None:
        self._live = live
        self._lookup = lookup
        self._signals = signals

    async def obeyed(self) -> None:
        """Looks at each signal, and every few seconds in any case; for ever."""
        with self._signals.listen(STOPS) as ear:
            while True:
                # Also while nothing goes on: a run may begin meanwhile, and the signal of a wish be lost.
                await ear.heard(BEAT_SECONDS)
                if self._live:
                    await tried(self._obey_once())

    async def _obey_once(self) -> None:
        for run_id, how in (await self._lookup.stops()).items():
            run = self._live.get(run_id)
            if run is not None and run.stopped is None:
                grace = GRACE_SECONDS if how == "supersede" else 0
                run.stop("supersede" if how == "supersede" else "cancel", grace_s=grace)
            elif run is not None and how == "cancel":
                run.stop("cancel")


async def tried(work: Coroutine[Any, Any, Any]) -> None:
    """Do it; where the database is away for a moment, the next signal or beat looks again."""
    try:
        await work
    except DATABASE_ERRORS as error:
        log_failure(log, "runs_not_looked_after", error)
