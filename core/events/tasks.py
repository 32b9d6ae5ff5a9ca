"""The tasks that webhooks give to the queue."""

from __future__ import annotations

from typing import Any

from core.events.settings import WebhookSettings
from core.events.webhooks import TASK, DeliverWebhook, Webhooks
from core.task_queue.task import NoArguments, Task, TaskContext

# The attempt itself ends at `timeout_seconds`; the rest is for the database.
_DATABASE_SECONDS = 30.0


def webhook_tasks(settings: WebhookSettings) -> tuple[Task[Any], ...]:
    """Deliver an event; and every night forget what is older than `keep_days`."""

    async def deliver(arguments: DeliverWebhook, context: TaskContext) -> None:
        webhooks = await context.container.get(Webhooks)
        await webhooks.deliver(arguments.delivery_id, last=context.attempt >= settings.attempts)

    async def forget(_: NoArguments, context: TaskContext) -> None:
        await (await context.container.get(Webhooks)).forget()

    return (
        Task(
            TASK,
            DeliverWebhook,
            deliver,
            attempts=settings.attempts,
            backoff_s=settings.backoff_seconds,
            deadline_s=settings.timeout_seconds + _DATABASE_SECONDS,
        ),
        Task("forget_webhooks", NoArguments, forget, cron="17 3 * * *"),
    )
