"""Webhooks on the real task queue: the queue tries again until the receiver takes the event."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from dishka import Provider, Scope, make_async_container
from sqlalchemy.engine import URL

from core.events import EventBus, record
from core.events.settings import WebhookSettings
from core.events.tasks import webhook_tasks
from core.events.webhooks import WebhookFailed, Webhooks
from core.task_queue.queue import TaskQueue
from core.task_queue.record import TaskStatus
from core.task_queue.settings import TaskSettings
from graph.db.database import opened_database
from tests.kit.webhook_server import WebhookServer
from tests.unit.core.events.hooks import Sold, configured, hook


@asynccontextmanager
async def running(settings: WebhookSettings, home: Path) -> AsyncIterator[tuple[EventBus, TaskQueue]]:
    """A service's worth of it: database, bus, queue with a worker, webhooks."""
    made: dict[str, Webhooks] = {}
    provider = Provider(scope=Scope.APP)
    provider.provide(lambda: made["webhooks"], provides=Webhooks)
    container = make_async_container(provider)
    url = URL.create("sqlite+aiosqlite", database=str(home / "waystation.db"))
    async with opened_database(url) as engine, EventBus() as bus:
        tasks = webhook_tasks(settings)
        async with (
            TaskQueue.open(TaskSettings(), engine, tasks, container, worker=True) as queue,
            Webhooks(settings, engine=engine, queue=queue, bus=bus) as webhooks,
        ):
            made["webhooks"] = webhooks
            webhooks.subscribe()
            yield bus, queue
    await container.close()


async def test_a_delivery_that_failed_is_tried_again_by_the_queue(tmp_path: Path) -> None:
    async with WebhookServer() as server:
        server.answer(503)
        settings = configured(hook(server.url), backoff_seconds=0.01)
        async with running(settings, tmp_path) as (bus, queue):
            bus.publish(Sold("tea"))
            first, second = await server.received(2, timeout=30)
            [task] = await queue.list(name="deliver_webhook")
            done = await queue.wait(task.id, timeout=30)
    assert first.signed
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert (done.status, done.attempts) == (TaskStatus.DONE, 2)


async def test_a_refused_delivery_is_not_tried_again(tmp_path: Path) -> None:
    async with WebhookServer() as server:
        server.answer(410)
        async with running(configured(hook(server.url)), tmp_path) as (bus, queue):
            with record(bus, WebhookFailed) as seen:
                bus.publish(Sold("tea"))
                await seen.wait_for(WebhookFailed, timeout=30)
            [task] = await queue.list(name="deliver_webhook")
            done = await queue.wait(task.id, timeout=30)
    assert (done.status, done.attempts) == (TaskStatus.FAILED, 1)
    assert done.error.endswith("the receiver answered 410")
