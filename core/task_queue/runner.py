"""Runs tasks that this process has claimed, keeps its claims alive, and writes down how they end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import structlog
from dishka import AsyncContainer
from prometheus_client import Counter, Gauge

from core.correlation import correlated
from core.database.outage import (
    DATABASE_ERRORS,
    TASK_S,
    DatabaseUnavailable,
    Endurance,
    answered_within,
    log_failure,
    storage_outage,
)
from core.errors import InvalidInput, NotAllowed, NotFound, WaystationError
from core.observability import REGISTRY, span
from core.task_queue.ledger import Held, Ledger
from core.task_queue.record import TaskStatus
from core.task_queue.task import LONGEST_BACKOFF_S, Task, TaskContext

log = structlog.get_logger()

ATTEMPTS = Counter(
    "waystation_task_attempts_total",
    "Attempts of background tasks that ended, by task and how.",
    ["task", "outcome"],
    registry=REGISTRY,
)
RUNNING = Gauge("waystation_tasks_running", "Background tasks that this process runs now.", registry=REGISTRY)

PROGRESS_S = 0.5
STOP_S = 5.0
# Share of a lease after which it is not trusted any more.
_SURE = 0.7
_HOPELESS = (InvalidInput, NotFound, NotAllowed)
LOST = "worker_lost: the process that ran it ended"


class _Stop(Enum):
    """Why a running task is cancelled."""

    NOT = auto()
    ASKED = auto()
    LOST = auto()
    SHUTDOWN = auto()


@dataclass(frozen=True, slots=True)
class _Failure:
    text: str
    hopeless: bool = False
    wait_s: float = 0.0
    outage: bool = False


@dataclass(slots=True)
class _Run:
    held: Held
    # When the lease was begun or prolonged the last time, by this process' own clock.
    renewed_at: float
    task: asyncio.Task[None] | None = None
    stop: _Stop = _Stop.NOT
    # Only while the task's own code runs: what is written down before and after must not be torn.
    stoppable: bool = False
    written_at: float = float("-inf")
    unwritten: tuple[float, float | None, str] | None = None


class Runner:
    """At most `slots` tasks at once.

    Args:
        holder: The name under which this process claims.
        lease_s: Seconds that a claim lasts without a beat.
        announce: Says when the next attempt may begin: id, attempts so far, due time.
        ended: Called after each attempt.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task[Any]],
        ledger: Ledger,
        container: AsyncContainer,
        *,
        holder: str,
        slots: int,
        lease_s: float,
        announce: Callable[[str, int, float], None],
        ended: Callable[[], None],
    ) -> None:
        self._tasks = tasks
        self._ledger = ledger
        self._container = container
        self._holder = holder
        self._slots = slots
        self._lease_s = lease_s
        self._announce = announce
        self._ended = ended
        self._runs: dict[str, _Run] = {}
        self._claiming = 0
        self._closing = False

    @property
    def free(self) -> int:
        return 0 if self._closing else self._slots - len(self._runs) - self._claiming

    async def look(self, task_id: str) -> None:
        """Run the task if it is due, nobody has it and a slot is free; returns when the attempt is over."""
        started = await self._start(task_id)
        if started is not None:
            # The task goes on when only the looking is cancelled.
            await asyncio.wait({started})

    async def pull(self) -> None:
        """Begin what the ledger has due, as far as there are free slots."""
        if self.free > 0:
            for task_id in await self._ledger.due(list(self._tasks), limit=self.free):
                await self._start(task_id)

    async def rescue(self, is_dead: Callable[[str], bool]) -> None:
        """Queue again what dead workers left; what has no attempt left has failed."""
        for held in await self._ledger.abandoned(is_dead):
            task = self._tasks.get(held.record.name)
            if task is None:
                continue
            if held.record.attempts >= task.attempts and not held.record.cancel_requested:
                changed = await self._ledger.finish(held, TaskStatus.FAILED, error=LOST)
            else:
                changed = await self._ledger.try_again(held, delay_s=0.0, error=LOST)
            if changed:
                log.warning("task_rescued", task=held.record.name, id=held.record.id)
                ATTEMPTS.labels(held.record.name, "lost").inc()
                self._ended()

    def cancel(self, task_id: str) -> None:
        """Stop it at once if it runs here."""
        run = self._runs.get(task_id)
        if run is not None:
            self._stop(run, _Stop.ASKED)

    async def beat_forever(self) -> None:
        """Keep the claims alive; see who was asked to stop, and who lost its claim."""
        beat: asyncio.Task[None] | None = None
        try:
            while True:
                await asyncio.sleep(self._lease_s / 5)
                # Apart from this loop: a database that hangs must not keep it from seeing the time.
                if self._runs and (beat is None or beat.done()):
                    beat = asyncio.create_task(self._beat(), name="task beat")
                self._stop_doubtful()
        finally:
            if beat is not None:  # the database is closed after us
                await asyncio.wait({beat}, timeout=STOP_S)

    async def close(self, *, grace_s: float) -> None:
        """Begin nothing more; let what runs end within `grace_s`, then stop it and queue it again."""
        self._closing = True
        await self._wait(grace_s)
        for run in self._runs.values():
            self._stop(run, _Stop.SHUTDOWN)
        await self._wait(STOP_S)
        for run in self._runs.values():
            log.error("task_does_not_stop", task=run.held.record.name, id=run.held.record.id)

    async def _wait(self, seconds: float) -> None:
        going = {run.task for run in self._runs.values() if run.task}
        if going:
            await asyncio.wait(going, timeout=seconds)

    async def _start(self, task_id: str) -> asyncio.Task[None] | None:
        if self.free <= 0 or task_id in self._runs:
            return None
        self._claiming += 1
        began = time.monotonic()
        try:
            held = await self._ledger.claim(
                task_id, self._holder, lease_s=self._lease_s, names=list(self._tasks)
            )
            if held is None:
                return None
            run = self._runs[task_id] = _Run(held, began)
        finally:
            self._claiming -= 1
        run.task = asyncio.create_task(self._run(run), name=f"task {held.record.name} {task_id}")
        if self._closing:
            self._stop(run, _Stop.SHUTDOWN)
        return run.task

    async def _run(self, run: _Run) -> None:
        record = run.held.record
        RUNNING.inc()
        try:
            with (
                correlated(user=record.owner.id),
                structlog.contextvars.bound_contextvars(task=record.name, task_id=record.id),
            ):
                with span(f"task {record.name}", task=record.name, attempt=record.attempts) as recorded:
                    outcome = await self._attempt(run)
                    recorded.set(outcome=outcome)
                log.info("task_attempt", outcome=outcome, attempt=record.attempts)
                ATTEMPTS.labels(record.name, outcome).inc()
        except DATABASE_ERRORS as error:
            # Its lease ends, and then it is tried again.
            log_failure(log, "task_end_not_written", error, task=record.name, id=record.id)
        finally:
            RUNNING.dec()
            del self._runs[record.id]
            self._ended()

    async def _attempt(self, run: _Run) -> str:
        """Run it once and write down how that ended."""
        task = self._tasks[run.held.record.name]
        end = await self._work(run, task) if run.stop is _Stop.NOT else run.stop
        # Work that is done is not done again because the database is away for a moment: as long as the
        # claim holds, nobody else begins it.
        return await Endurance(self._lease_s * _SURE).through(lambda: self._written(run, task, end))

    async def _written(self, run: _Run, task: Task[Any], end: _Failure | _Stop | None) -> str:
        if isinstance(end, _Stop):
            return await self._stopped(run, end)
        if isinstance(end, _Failure):
            return await self._failed(run, task, end)
        await self._flush(run)
        return "done" if await self._ledger.finish(run.held, TaskStatus.DONE) else "lost"

    async def _work(self, run: _Run, task: Task[Any]) -> _Failure | _Stop | None:
        """The task's own code; None when it ended well."""
        record = run.held.record
        context = TaskContext(
            self._container, record.owner, record.id, record.attempts, lambda *p: self._report(run, p)
        )
        run.stoppable = True
        try:
            async with asyncio.timeout(task.deadline_s) as deadline:
                with answered_within(TASK_S):
                    await task.run(task.parse(record.arguments), context)
        except asyncio.CancelledError:
            return _Failure("CancelledError") if run.stop is _Stop.NOT else run.stop
        except Exception as error:  # noqa: BLE001 - whatever a task raises is its failure, not the worker's
            if deadline.expired():
                return _Failure(f"timed_out: not done within {task.deadline_s:g} s")
            return _failure(error)
        finally:
            run.stoppable = False
        return None

    async def _failed(self, run: _Run, task: Task[Any], failure: _Failure) -> str:
        attempt = run.held.record.attempts
        if failure.outage:
            # The task is not to blame: the attempt does not count.
            if not await self._ledger.give_back(run.held, delay_s=failure.wait_s, error=failure.text):
                return "lost"
            self._announce(run.held.record.id, attempt - 1, self._ledger.now() + failure.wait_s)
            return "retry"
        if attempt >= task.attempts or failure.hopeless:
            changed = await self._ledger.finish(run.held, TaskStatus.FAILED, error=failure.text)
            return "failed" if changed else "lost"
        # Spread, so that what failed together does not come back together.
        wait = max(task.backoff(attempt) * _spread(), failure.wait_s)
        if not await self._ledger.try_again(run.held, delay_s=wait, error=failure.text):
            return "lost"
        self._announce(run.held.record.id, attempt, self._ledger.now() + wait)
        return "retry"

    async def _stopped(self, run: _Run, why: _Stop) -> str:
        if why is _Stop.ASKED:
            await self._ledger.finish(run.held, TaskStatus.CANCELLED)
            return "cancelled"
        if why is _Stop.SHUTDOWN:
            await self._ledger.give_back(run.held)
            return "interrupted"
        return "lost"

    def _stop(self, run: _Run, why: _Stop) -> None:
        if run.stop is _Stop.NOT:
            run.stop = why
            if run.stoppable and run.task is not None:
                run.task.cancel()

    async def _beat(self) -> None:
        began = time.monotonic()
        mine = {run.held.record.id: run for run in self._runs.values()}
        try:
            seen = await self._ledger.beat(self._holder, list(mine), lease_s=self._lease_s)
        except DATABASE_ERRORS as error:
            log_failure(log, "task_leases_not_prolonged", error)
            return
        for task_id, run in mine.items():
            asked = seen.get(task_id)
            if asked is None:
                self._stop(run, _Stop.LOST)
                continue
            run.renewed_at = began
            if asked:
                self._stop(run, _Stop.ASKED)
            else:
                await self._flush(run)

    def _stop_doubtful(self) -> None:
        """Stop what may lose its lease before the next look: another worker could begin it then."""
        oldest = time.monotonic() - self._lease_s * _SURE
        for run in self._runs.values():
            if run.renewed_at < oldest:
                self._stop(run, _Stop.LOST)

    async def _report(self, run: _Run, progress: tuple[float, float | None, str]) -> None:
        """Write the progress, but not more often than anybody reads it; the beat brings what is left."""
        run.unwritten = progress
        if time.monotonic() - run.written_at >= PROGRESS_S:
            await self._flush(run)

    async def _flush(self, run: _Run) -> None:
        if run.unwritten is not None:
            progress, run.unwritten, run.written_at = run.unwritten, None, time.monotonic()
            # Progress is for onlookers: a task does not fail for it.
            with suppress(*DATABASE_ERRORS):
                await self._ledger.progress(run.held, *progress)


def _spread() -> float:
    return random.uniform(1.0, 1.2)  # noqa: S311 - nothing secret


def _failure(error: Exception) -> _Failure:
    """What the ledger says of it: our own errors are for people; of others only the type is safe to show."""
    wait = getattr(error, "retry_after", None)
    wait_s = min(float(wait), LONGEST_BACKOFF_S) if isinstance(wait, int | float) else 0.0
    away = storage_outage(error)
    if isinstance(away, DatabaseUnavailable):
        return _Failure(f"{away.code}: {away.detail}", wait_s=away.retry_after or 0.0, outage=True)
    if isinstance(error, WaystationError):
        return _Failure(f"{error.code}: {error.detail}", isinstance(error, _HOPELESS), wait_s)
    log.error("task_raised", exc_info=error)
    return _Failure(type(error).__name__, wait_s=wait_s)
