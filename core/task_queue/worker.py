"""The part of the queue that runs tasks: it hears the bell, and looks into the ledger by itself."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import structlog

from core.database.outage import DATABASE_ERRORS, tell_failure
from core.holder import is_known_dead
from core.task_queue.ledger import Ledger
from core.task_queue.runner import Runner
from core.task_queue.schedule import Schedule
from core.task_queue.settings import TaskSettings
from core.task_queue.task import Task

if TYPE_CHECKING:
    from core.task_queue.queue import TaskQueue

log = structlog.get_logger()


class Sweeper:
    """Every `poll_s` seconds, and whenever something ended: what is due, abandoned, or on the clock?

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
        self._wake = asyncio.Event()
        self._closing = False
        self._work: tuple[asyncio.Task[None], ...] = ()

    def hurry(self) -> None:
        """Look now."""
        self._wake.set()

    def open(self) -> None:
        self._work = (
            asyncio.create_task(self._sweep(), name="task sweep"),
            asyncio.create_task(self._runner.beat_forever(), name="task leases"),
        )

    async def close(self, *, grace_s: float) -> None:
        """Let what runs here end; `Runner.close` says how."""
        sweep, beat = self._work
        self._closing = True
        self.hurry()
        # Not cancelled: it may be in the middle of a claim.
        await sweep
        await self._runner.close(grace_s=grace_s)
        beat.cancel()
        await asyncio.gather(beat, return_exceptions=True)

    async def _sweep(self) -> None:
        woken = False
        while not self._closing:
            try:
                if not woken:
                    await self._look_around()
                await self._runner.pull()
            except DATABASE_ERRORS as error:
                tell_failure(log, "task_sweep_failed", error)
            woken = True
            try:
                await asyncio.wait_for(self._wake.wait(), self._poll_s)
            except TimeoutError:
                woken = False
            self._wake.clear()

    async def _look_around(self) -> None:
        for name, due in self._schedule.due(self._ledger.now()):
            await self._add(name, due)
        await self._runner.rescue(is_known_dead)


async def run_worker(opened: Callable[[], AbstractAsyncContextManager[TaskQueue]]) -> None:
    """Run tasks until SIGTERM or SIGINT; a second signal ends the process at once.

    Args:
        opened: Opens a queue with `worker=True`.
    """
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    for one in signals:
        loop.add_signal_handler(one, asked.set)
    try:
        async with opened() as queue:
            log.info("worker_ready", tasks=sorted(queue.names))
            await asked.wait()
            log.info("worker_stops")
            # From here on a signal does what it does by default.
            for one in signals:
                loop.remove_signal_handler(one)
    finally:
        for one in signals:
            loop.remove_signal_handler(one)
