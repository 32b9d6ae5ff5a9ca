"""Wishes of somebody, in whatever process, that a run which goes on here shall stop; the end of patience."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any

import structlog

from core.database.outage import DATABASE_ERRORS, log_failure
from core.signals import Signals
from graph.runs.lease import BEAT_SECONDS
from graph.runs.ledger import RunLedger
from graph.runs.lookup import LiveRuns, RunLookup
from graph.runs.record import CUT_AGAIN_SECONDS

log = structlog.get_logger()

STOPS = "stops"
# How long a run may take to its next checkpoint when another message takes its place.
GRACE_SECONDS = 20.0
# How long a run may take to end once it is cut, its ending included: longer than a second cancellation takes
# where a library swallowed the first, and within what service managers are told to give.
STOP_SECONDS = CUT_AGAIN_SECONDS + 3.0
# Of one entry of the log: tasks, and the functions of each.
_SHOWN = 30
_DEEP = 3


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

    def at_once(self, run_id: str) -> None:
        """Cancel the run, whose wish is stored, where it goes on here: other processes look for it."""
        if run_id in self._live:
            self._live[run_id].stop("cancel")

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


def give_up(live: LiveRuns, ledger: RunLedger, stuck: Collection[asyncio.Task[None]]) -> None:
    """Leave what does not end here, whatever it hangs on: its lease runs out, and others go on with it."""
    for run in [run for run in live.values() if run.task in stuck]:
        log.error("run_does_not_stop", run_id=run.id, ending=run.ending, waits_in=_waited_in())
        run.stop("lost")
        ledger.leave(run.id)
        del live[run.id]


def _waited_in() -> list[str]:
    """In which functions the tasks of this process wait: of a run's own the innermost is in another task."""
    return sorted({" > ".join(_functions(task)[-_DEEP:]) for task in asyncio.all_tasks()})[:_SHOWN]


def _functions(task: asyncio.Task[Any]) -> list[str]:
    found: list[str] = []
    work: Any = task.get_coro()
    while work is not None:
        found += [work.__qualname__] if hasattr(work, "__qualname__") else []
        work = getattr(work, "cr_await", None) or getattr(work, "ag_await", None)
    return found
