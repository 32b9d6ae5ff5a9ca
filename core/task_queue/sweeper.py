"""What looks into the ledger: for tasks that are due, abandoned, or due by the clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import structlog

from core.database.outage import DATABASE_ERRORS, log_failure
from core.holder import is_known_dead
from core.task_queue.ledger import Ledger
from core.task_queue.runner import Runner
from core.task_queue.settings import TaskSettings
from core.task_queue.task import Task, due_times

log = structlog.get_logger()

# A timer may ring a little before the clock of the ledger says that it is time.
TIMER_S = 0.02


class Schedule:
    """The due times of all tasks with a `cron`.

    A time that passes while no worker is there is not made up for.

    Args:
        now: Epoch seconds; only later times count.
    """

    def __init__(self, tasks: Iterable[Task[Any]], now: float) -> None:
        self._times = {task.name: due_times(task.cron, now) for task in tasks if task.cron}
        self._next = {name: next(times, None) for name, times in self._times.items()}

    def due(self, now: float) -> list[tuple[str, float]]:
        """(task name, due time) of each that became due; of several times of one task only the last."""
        found: list[tuple[str, float]] = []
        for name, times in self._times.items():
            passed = None
            while (following := self._next[name]) is not None and following <= now:
                passed = following
                self._next[name] = next(times, None)
            if passed is not None:
                found.append((name, passed))
        return found


class Sweeper:
    """Begins what is due, whenever something began or ended; every `poll_s` seconds also what is on the clock
    or was abandoned.

    Args:
        add: Adds the task of a due time: name, epoch seconds.
    """

    def __init__(
        self,
        settings: TaskSettings,
        tasks: Mapping[str, Task[Any]],
        ledger: Ledger,
        runner: Runner,
        *,
        add: Callable[[str, float], Awaitable[None]],
    ) -> None:
        self._poll_s = settings.poll_s
        self._ledger = ledger
        self._runner = runner
        self._add = add
        self._schedule = Schedule(tasks.values(), ledger.now())
        self._woken = asyncio.Event()
        self._closing = False
        self._work: tuple[asyncio.Task[None], ...] = ()

    def wake(self) -> None:
        """Look now."""
        self._woken.set()

    def wake_at(self, due_at: float) -> None:
        """Look when that time (epoch seconds) has come."""
        wait = due_at - self._ledger.now()
        if wait <= 0:
            self.wake()
        else:
            asyncio.get_running_loop().call_later(wait + TIMER_S, self.wake)

    def open(self) -> None:
        self._work = (
            asyncio.create_task(self._sweep(), name="task sweep"),
            asyncio.create_task(self._runner.beat_forever(), name="task leases"),
        )

    async def close(self, *, grace_s: float) -> None:
        """Let what runs here end; `Runner.close` says how."""
        sweep, beat = self._work
        self._closing = True
        self.wake()
        # Not cancelled: it may be in the middle of a claim.
        await sweep
        await self._runner.close(grace_s=grace_s)
        beat.cancel()
        await asyncio.gather(beat, return_exceptions=True)

    async def _sweep(self) -> None:
        next_look = time.monotonic()
        while not self._closing:
            try:
                # By the clock and not by quiet: where tasks end all the time it would never come.
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + self._poll_s
                    await self._look_around()
                await self._runner.pull()
            except DATABASE_ERRORS as error:
                log_failure(log, "task_sweep_failed", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), max(0.0, next_look - time.monotonic()))
            self._woken.clear()

    async def _look_around(self) -> None:
        for name, due in self._schedule.due(self._ledger.now()):
            await self._add(name, due)
        await self._runner.rescue(is_known_dead)
