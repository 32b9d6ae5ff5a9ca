"""The task queue as modules, the service and its commands use it."""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import structlog
from dishka import AsyncContainer
from pydantic import BaseModel
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.access import Principal
from core.errors import ConfigInvalid, InvalidInput
from core.health import Health, degraded, healthy
from core.holder import alive, new_holder
from core.settings import nearest
from core.task_queue.announcer import Announcer
from core.task_queue.errors import TaskEnded, TaskNotFound, UnknownTask
from core.task_queue.ledger import Ledger
from core.task_queue.record import TaskRecord, TaskStatus
from core.task_queue.runner import Runner
from core.task_queue.settings import TaskSettings
from core.task_queue.sweeper import Sweeper
from core.task_queue.task import Task

log = structlog.get_logger()

LONGEST_KEY = 200
LATE_S = 60.0
WAIT_STEP_S = 0.25
CLOSE_S = 3.0
# A scheduled task that is still open keeps its next time from being added.
SCHEDULED_KEY = "scheduled"
SYSTEM = Principal("system")


class TaskQueue:
    """Adds tasks, shows what became of them and, as a worker, runs them. Get one by `open`.

    Args:
        system: For whom scheduled tasks and those of operators work.
    """

    def __init__(
        self, settings: TaskSettings, engine: AsyncEngine, tasks: Iterable[Task[Any]], *, system: Principal
    ) -> None:
        self.system = system
        self._settings = settings
        self._tasks = _by_name(tasks)
        self._ledger = Ledger(engine)
        self._announcer: Announcer | None = None
        self._runner: Runner | None = None
        self._sweeper: Sweeper | None = None
        self._news = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: TaskSettings,
        engine: AsyncEngine,
        tasks: Iterable[Task[Any]],
        container: AsyncContainer,
        *,
        worker: bool,
        system: Principal = SYSTEM,
    ) -> AsyncIterator[TaskQueue]:
        """The queue on an open database; there at once, whatever Redis does.

        Args:
            engine: At the newest revision.
            tasks: Every task that this process knows.
            container: Where tasks find their services.
            worker: Run tasks here too. At the end those that run have
                `tasks.grace_s` to finish; after that they are queued again.

        Raises:
            ConfigInvalid: Two tasks share a name.
        """
        queue = cls(settings, engine, tasks, system=system)
        with alive(new_holder()) as holder:
            queue._start(container, holder if worker else None)
            try:
                yield queue
            finally:
                await queue.aclose()

    @property
    def names(self) -> Collection[str]:
        """Of the tasks that this process knows."""
        return self._tasks.keys()

    def known(self) -> list[dict[str, Any]]:
        """Each task of this process by name: the schema of its arguments, its schedule and next time."""
        now = self._ledger.now()
        return [self._tasks[name].as_json(now) for name in sorted(self._tasks)]

    async def add(
        self,
        name: str,
        arguments: BaseModel | Mapping[str, Any],
        *,
        owner: Principal,
        key: str | None = None,
        delay_s: float = 0.0,
    ) -> TaskRecord:
        """Store a task; when this returns, it is on disk.

        Args:
            owner: For whom it works.
            key: While a task of this name with this key is open, that one is the answer.
            delay_s: Seconds before it may begin.

        Raises:
            UnknownTask: No module declares it.
            TaskArgumentsInvalid: It does not take these arguments.
        """
        if key is not None and len(key) > LONGEST_KEY:
            raise InvalidInput(f"task key: at most {LONGEST_KEY} characters")
        due = self._ledger.now() + max(delay_s, 0.0)
        record = self._new(name, arguments, id=uuid.uuid4().hex, owner=owner, key=key, due_at=due)
        while not await self._ledger.add(record):
            there = await self._ledger.open_with_key(name, key or "")
            if there is not None:  # else it has just ended, and the new one may be added
                return there
        self._announce(record.id, record.attempts, record.due_at)
        return record

    async def get(self, task_id: str) -> TaskRecord:
        """
        Raises:
            TaskNotFound: There is none with this id.
        """
        record = await self._ledger.get(task_id)
        if record is None:
            raise TaskNotFound(f"no task '{task_id[:64]}'")
        return record

    async def cancel(self, task_id: str) -> TaskRecord:
        """End a queued task; stop a running one, wherever it runs, within seconds.

        Raises:
            TaskNotFound: There is none with this id.
            TaskEnded: It is done or has failed.
        """
        record = await self._ledger.cancel((await self.get(task_id)).id)
        if record is None:
            raise TaskNotFound(f"no task '{task_id[:64]}'")
        if record.status in (TaskStatus.DONE, TaskStatus.FAILED):
            raise TaskEnded(f"task '{task_id}' is {record.status.value} already")
        if self._runner is not None:
            self._runner.cancel(task_id)
        self._attempt_ended()
        return record

    async def wait(self, task_id: str, timeout: float) -> TaskRecord:
        """The task when it has ended, or as it is after `timeout` seconds.

        Raises:
            TaskNotFound: There is none with this id.
        """
        until = time.monotonic() + timeout
        while True:
            news = self._news
            record = await self.get(task_id)
            left = until - time.monotonic()
            if record.ended or left <= 0:
                return record
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), min(left, WAIT_STEP_S))

    async def check(self) -> Health:
        """How much waits and runs; degraded when nobody works it off, or Redis is silent."""
        backlog = await self._ledger.backlog()
        details = {
            "waiting": backlog.waiting,
            "later": backlog.later,
            "running": backlog.running,
            "worker": self._runner is not None,
            "queue": "in process" if self._settings.in_process else "redis",
        }
        silent = self._announcer.silent_s if self._announcer else None
        if silent is not None:
            return degraded(
                f"the queue has not answered for {silent:.0f} s; tasks start late, none is lost", **details
            )
        if backlog.waits_s > LATE_S:
            return degraded(f"the oldest task has waited {backlog.waits_s:.0f} s for a worker", **details)
        return healthy(**details)

    async def prune(self, older_than: float) -> int:
        """Forget tasks that ended before `older_than` (epoch seconds); how many."""
        return await self._ledger.prune(older_than)

    async def list(
        self, *, status: TaskStatus | None = None, name: str | None = None, limit: int = 50
    ) -> Sequence[TaskRecord]:
        """The last added first."""
        return await self._ledger.newest(status=status, name=name, limit=limit)

    def _start(self, container: AsyncContainer, holder: str | None) -> None:
        if holder is not None:
            self._runner = Runner(
                self._tasks,
                self._ledger,
                container,
                holder=holder,
                slots=self._settings.concurrency,
                lease_s=self._settings.lease_s,
                announce=self._announce,
                ended=self._attempt_ended,
            )
            self._sweeper = Sweeper(
                self._settings, self._tasks, self._ledger, self._runner, add=self._add_scheduled
            )
            self._sweeper.open()
        if not self._settings.in_process:
            self._announcer = Announcer(self._settings, self._runner.look if self._runner else None)
            self._announcer.open()

    async def aclose(self) -> None:
        """End the tasks that run here, within their grace; tasks may still be added. Again does nothing."""
        announcer, sweeper = self._announcer, self._sweeper
        self._announcer = self._sweeper = None
        if announcer is not None:
            await announcer.flush()
            announcer.stop()
        if sweeper is not None:
            await sweeper.close(grace_s=self._settings.grace_s)
        # Last: its looks last as long as what they began.
        if announcer is not None:
            await announcer.close(limit_s=CLOSE_S)

    def _new(
        self, name: str, arguments: BaseModel | Mapping[str, Any], *, due_at: float, **fields: Any
    ) -> TaskRecord:
        parsed = self._task(name).parse(arguments)
        return TaskRecord(
            name=name,
            arguments=parsed.model_dump(mode="json"),
            status=TaskStatus.QUEUED,
            attempts=0,
            progress=None,
            total=None,
            message="",
            error="",
            created_at=self._ledger.now(),
            due_at=due_at,
            started_at=None,
            ended_at=None,
            cancel_requested=False,
            **fields,
        )

    def _task(self, name: str) -> Task[Any]:
        task = self._tasks.get(name)
        if task is None:
            near = nearest(name, self._tasks)
            hint = f"; did you mean '{near}'?" if near else f"; known: {', '.join(sorted(self._tasks))}"
            raise UnknownTask(f"no task '{name[:64]}'{hint}")
        return task

    async def _add_scheduled(self, name: str, due: float) -> None:
        """The id holds the due time: of several workers' tries one succeeds, also after it has ended."""
        record = self._new(
            name, {}, id=scheduled_id(name, due), owner=self.system, key=SCHEDULED_KEY, due_at=due
        )
        if await self._ledger.add(record):
            self._announce(record.id, record.attempts, record.due_at)

    def _announce(self, task_id: str, attempt: int, due_at: float) -> None:
        """Somebody may begin it at `due_at`: here, or where Redis says so."""
        if self._announcer is not None:
            self._announcer.announce(task_id, attempt, due_at)
        if self._sweeper is not None and not (self._announcer and self._announcer.carries):
            self._sweeper.wake_at(due_at)

    def _attempt_ended(self) -> None:
        """Something ended: whoever waits looks again, and a free slot takes the next."""
        news, self._news = self._news, asyncio.Event()
        news.set()
        if self._sweeper is not None:
            self._sweeper.wake()


def _by_name(tasks: Iterable[Task[Any]]) -> dict[str, Task[Any]]:
    found: dict[str, Task[Any]] = {}
    for task in tasks:
        if task.name in found:
            raise ConfigInvalid(f"two tasks are called '{task.name}'; rename one")
        found[task.name] = task
    return found


def scheduled_id(name: str, due: float) -> str:
    """The id of the task of one due time: the same in every process, so that there is only one."""
    return f"{name}-{datetime.fromtimestamp(due, UTC):%Y%m%dT%H%M%S}"


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
