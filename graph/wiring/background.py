"""Background tasks and webhooks, for the container."""

# No `from __future__ import annotations`: dishka reads the annotations at run time.

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import structlog
from dishka import AsyncContainer, Provider, Scope, provide
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core import lifecycle
from core.cache import Cache
from core.container import build_container
from core.database.health import DATABASE, database_health
from core.database.replicas import replica_health
from core.events import EventBus
from core.events.settings import WebhookSettings
from core.events.tasks import webhook_tasks
from core.events.webhooks import Webhooks
from core.health import Check, Health, degraded, healthy
from core.registry import Module, discover, files_of, sections_of
from core.resilience import Policies
from core.settings import Book, Context, read_book
from core.settings.platform import ServerSettings, StorageSettings, ThreadSettings
from core.settings.roles import Duty, runs_tasks
from core.settings.schedules import ScheduleSettings
from core.signals import Signals
from core.task_queue import Task, TaskContext, TaskQueue, TaskSettings
from core.task_queue.task import NoArguments
from graph.checkpoints.compaction import TASKS as COMPACTION
from graph.checkpoints.compaction import Compaction
from graph.db.partitions import make_ahead
from graph.runs.lease import Leases
from graph.service.fleet import WORKERS, Fleet
from graph.service.items import TASKS as ITEMS
from graph.service.plans import TASKS as PLANNED
from graph.service.schedules import scheduled_tasks
from graph.threads.housekeeping import TASKS, ThreadUpkeep, Titles
from graph.wiring.storage import Storage
from graph.wiring.turn_provider import ThreadGraph
from nodes.file_storage.settings import FileStorageSettings

log = structlog.get_logger(__name__)


class Background(Provider):
    """The queue with every task there is: of the modules, of threads and of webhooks.

    Args:
        worker: Run tasks in this process, where the settings do not forbid it.
    """

    scope = Scope.APP

    def __init__(self, modules: Sequence[Module], *, worker: bool) -> None:
        super().__init__()
        self._modules = modules
        self._worker = worker

    @provide
    async def queue(
        self, book: Book, engine: AsyncEngine, container: AsyncContainer
    ) -> AsyncIterator[TaskQueue]:
        settings = book[TaskSettings]
        tasks = tasks_of(self._modules, book)
        worker = self._worker and settings.worker and runs_tasks(book[ServerSettings])
        async with TaskQueue.open(settings, engine, tasks, container, worker=worker) as queue:
            yield queue

    @provide
    async def webhooks(
        self, book: Book, engine: AsyncEngine, queue: TaskQueue, bus: EventBus
    ) -> AsyncIterator[Webhooks]:
        async with Webhooks(book[WebhookSettings], engine=engine, queue=queue, bus=bus) as webhooks:
            yield webhooks

    @provide
    def thread_settings(self, book: Book) -> ThreadSettings:
        return book[ThreadSettings]

    titles = provide(Titles)
    upkeep = provide(ThreadUpkeep)

    @provide
    def compaction(
        self, engine: AsyncEngine, graph: ThreadGraph, leases: Leases, settings: ThreadSettings
    ) -> Compaction:
        return Compaction(engine, graph, leases, settings)


def tasks_of(modules: Sequence[Module], book: Book) -> list[Task[Any]]:
    """Every task there is: of the modules, of threads, of webhooks, and runs by the clock."""
    own = [task for module in modules for task in module.tasks]
    hooks = book[WebhookSettings]
    webhooks = [*webhook_tasks(hooks), RESUME_WEBHOOKS] if hooks.tells else webhook_tasks(hooks)
    return [*own, *TASKS, *COMPACTION, *PLANNED, *ITEMS, *webhooks, *scheduled_tasks(book[ScheduleSettings])]


async def resume_webhooks(_: NoArguments, context: TaskContext) -> None:
    """Queue deliveries whose process died before it could."""
    await (await context.container.get(Webhooks)).resume()


RESUME_WEBHOOKS = Task("resume_webhooks", NoArguments, resume_webhooks, cron="*/15 * * * *")


@asynccontextmanager
async def opened_queue(context: Context) -> AsyncIterator[TaskQueue]:
    """The queue alone, to look and to add: no module is started, no task runs here.

    Raises:
        ConfigErrors: The configuration is not valid.
    """
    modules = discover()
    book = read_book(sections_of(modules), files_of(modules), context)
    container = build_container([], book, Storage())
    try:
        engine = await container.get(AsyncEngine)
        settings, tasks = book[TaskSettings], tasks_of(modules, book)
        async with TaskQueue.open(settings, engine, tasks, container, worker=False) as queue:
            yield queue
    finally:
        await lifecycle.close(container)


async def begin(container: AsyncContainer, book: Book) -> None:
    """Open the queue; let titles and webhooks listen, once every module is loaded."""
    await make_ahead(await container.get(AsyncEngine), book[ThreadSettings].keep_events_hours)
    await container.get(TaskQueue)
    if book[ThreadSettings].titles == "model":
        (await container.get(Titles)).subscribe_to(await container.get(EventBus))
    if book[WebhookSettings].tells:
        webhooks = await container.get(Webhooks)
        webhooks.subscribe()
        await webhooks.resume()
    if _files_apart(book):
        apart = await replica_health(await container.get(AsyncEngine), book.context.places)
        if apart.reason:
            log.warning("files_in_several_homes", why=apart.reason)


def checks(container: AsyncContainer, book: Book, *, serves: bool = False) -> dict[str, Check]:
    """Health of what the modules lean on.

    Args:
        serves: For a process of the service, and what its role leans on.
    """
    looks: dict[str, tuple[type[Any], Callable[[Any], Awaitable[Health]]]] = {
        DATABASE: (AsyncEngine, database_health),
        "events": (EventBus, _own_health),
        "tasks": (TaskQueue, _own_health),
        "cache": (Cache, _own_health),
        "breakers": (Policies, _breaker_health),
        "signals": (Signals, _own_health),
    }
    if Duty.of(book[ServerSettings], serves=serves).hands_over:
        looks[WORKERS] = (Fleet, _own_health)
    if _files_apart(book):
        looks["replicas"] = (AsyncEngine, partial(replica_health, places=book.context.places))
    if book[WebhookSettings].tells:
        looks["webhooks"] = (Webhooks, _own_health)

    async def health(kind: type[Any], look: Callable[[Any], Awaitable[Health]]) -> Health:
        return await look(await container.get(kind))

    return {name: partial(health, *found) for name, found in looks.items()}


async def _own_health(service: Any) -> Health:
    found: Health = await service.check()
    return found


async def _breaker_health(policies: Policies) -> Health:
    return breaker_health(policies)


def _files_apart(book: Book) -> bool:
    """True where processes of one database may each keep files in a folder of their own."""
    return book[StorageSettings].url.startswith("postgres") and not book[FileStorageSettings].elsewhere


def breaker_health(policies: Policies) -> Health:
    """Degraded while a target is not called, or only tried."""
    status = policies.status()
    details = {"targets": [target.as_json() for target in status]}
    bad = [target for target in status if target.state != "closed"]
    if not bad:
        return healthy(**details)
    reason = "; ".join(f"{t.kind} '{t.name}' is {t.state} since {t.since:%H:%M:%S} UTC" for t in bad)
    return replace(degraded(reason, **details), since=min(target.since for target in bad))


async def end(container: AsyncContainer) -> None:
    """Let running tasks end, then what the bus still holds; before the services close that both work with."""
    await (await container.get(TaskQueue)).aclose()
    await (await container.get(EventBus)).aclose()
