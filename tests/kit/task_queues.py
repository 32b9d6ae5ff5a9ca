"""Task queues on a real database, and tasks whose progress a test controls.

async with opened_queue(tmp_path, [work.task]) as queue:
    work.hold("a")
    record = await queue.add("work", {"item": "a"}, owner=ADA)
    await work.begun("a")
    work.let_go("a")
    assert (await queue.wait(record.id, 10)).status is TaskStatus.DONE
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dishka import AsyncContainer, make_async_container
from sqlalchemy.engine import make_url

from core.access import Principal
from core.task_queue import Task, TaskContext, TaskQueue, TaskRecord, TaskSettings
from graph.db.database import opened_database
from tests.kit.task_worker import Item

ADA = Principal("ada", groups=frozenset({"staff"}), levels=frozenset({"secret"}), scopes=frozenset({"use"}))
PATIENCE_S = 20.0


def quick(**settings: Any) -> TaskSettings:
    """Settings under which nothing waits long, and a busy machine takes no worker for dead."""
    return TaskSettings.model_validate({"poll_s": 0.2, "lease_s": 10.0, "grace_s": 0.2, **settings})


def sqlite(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'tasks.db'}"


@asynccontextmanager
async def opened_queue(
    database: Path | str,
    tasks: Sequence[Task[Any]],
    *,
    settings: TaskSettings | None = None,
    worker: bool = True,
    container: AsyncContainer | None = None,
) -> AsyncIterator[TaskQueue]:
    """A queue on the database (its URL, or the folder of an SQLite file), by default one that works."""
    url = sqlite(database) if isinstance(database, Path) else database
    async with (
        opened_database(make_url(url)) as engine,
        TaskQueue.open(
            settings or quick(), engine, tasks, container or make_async_container(), worker=worker
        ) as queue,
    ):
        yield queue


async def until(
    queue: TaskQueue, task_id: str, holds: Callable[[TaskRecord], bool], within: float = PATIENCE_S
) -> TaskRecord:
    """The record as soon as `holds` says yes of it."""
    async with asyncio.timeout(within):
        while not holds(record := await queue.get(task_id)):  # noqa: ASYNC110 - the ledger has no event
            await asyncio.sleep(0.02)
    return record


async def eventually(holds: Callable[[], Awaitable[bool]], within: float = PATIENCE_S) -> None:
    """Returns as soon as `holds` says yes."""
    async with asyncio.timeout(within):
        while not await holds():  # noqa: ASYNC110 - for what has no event
            await asyncio.sleep(0.02)


class Work:
    """The task `work`: it counts, and does what the test planned for an item; by default it ends at once.

    Args:
        options: Of the `Task`; by default it is tried again at once.
    """

    def __init__(self, name: str = "work", **options: Any) -> None:
        self.task = Task(name, Item, self._run, **{"backoff_s": 0.0, **options})
        self.attempts: Counter[str] = Counter()
        self.order: list[str] = []
        self.contexts: list[TaskContext] = []
        self.running: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self._plans: dict[str, list[BaseException | None]] = {}
        self._begun: dict[str, asyncio.Semaphore] = {}
        self._gates: dict[str, asyncio.Event] = {}

    def plan(self, item: str, *ends: BaseException | None) -> None:
        """How its attempts end, one after the other; those after them end well."""
        self._plans[item] = list(ends)

    def hold(self, *items: str) -> None:
        """Attempts on them wait until they are let go."""
        self._gates.update({item: asyncio.Event() for item in items})

    def let_go(self, *items: str) -> None:
        for item in items:
            self._gates[item].set()

    async def begun(self, item: str) -> None:
        """Returns once for each attempt that begins."""
        async with asyncio.timeout(PATIENCE_S):
            await self._begun.setdefault(item, asyncio.Semaphore(0)).acquire()

    async def _run(self, arguments: Item, context: TaskContext) -> None:
        item = arguments.item
        self.attempts[item] += 1
        self.running[item] += 1
        self.most_at_once[item] = max(self.most_at_once[item], self.running[item])
        self.order.append(item)
        self.contexts.append(context)
        self._begun.setdefault(item, asyncio.Semaphore(0)).release()
        try:
            if item in self._gates:
                await self._gates[item].wait()
        finally:
            self.running[item] -= 1
        plan = self._plans.get(item)
        if plan and (end := plan.pop(0)):
            raise end
