"""Tells the receiver that a run's caller named of its end, through the task queue."""

from __future__ import annotations

from dishka import AsyncContainer

from core.events.webhooks import Webhooks
from graph.runs.record import RunRecord


class RunWebhooks:
    """Queues what the ledger has kept for delivery when a run ended.

    The webhooks are asked for with the first run that names one: the queue that
    they need opens only after every module has started.
    """

    def __init__(self, container: AsyncContainer) -> None:
        self._container = container

    async def deliver(self, record: RunRecord) -> None:
        """Queue the delivery of a run that ended, where its caller named a receiver."""
        if record.request.webhook:
            await (await self._container.get(Webhooks)).resume()
