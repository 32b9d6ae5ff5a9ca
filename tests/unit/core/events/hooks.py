"""A bus with webhooks on a real database, and a queue whose worker is the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal
from core.events import Event, EventBus, Recorded, record
from core.events.addresses import Resolve, resolved
from core.events.settings import WebhookSettings
from core.events.tables import webhook_deliveries
from core.events.webhooks import DeliverWebhook, Webhooks
from graph.db.database import opened_database
from tests.kit.webhook_server import SECRET, WebhookServer


@dataclass(frozen=True, slots=True)
class Sold(Event):
    item: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class SoldOut(Sold):
    pass


@dataclass(frozen=True, slots=True)
class Bought(Event):
    item: str


@dataclass(frozen=True, slots=True)
class Added:
    name: str
    delivery_id: str
    key: str | None
    owner: str


@dataclass
class HandQueue:
    """Keeps what was added; nothing runs by itself."""

    system: Principal = field(default_factory=lambda: Principal("system"))
    added: list[Added] = field(default_factory=list)
    more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def add(
        self, name: str, arguments: BaseModel, *, key: str | None = None, owner: Principal, delay_s: float = 0
    ) -> None:
        assert isinstance(arguments, DeliverWebhook)
        async with self.more:
            self.added.append(Added(name, arguments.delivery_id, key, owner.id))
            self.more.notify_all()

    async def ids(self, count: int = 1) -> list[str]:
        """The delivery ids, as soon as there are so many."""
        async with asyncio.timeout(10), self.more:
            await self.more.wait_for(lambda: len(self.added) >= count)
        return [added.delivery_id for added in self.added]


@dataclass
class Answers:
    """A resolver that gives one list after the other, and counts how often it was asked."""

    lists: Sequence[list[str]]
    asked: int = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return self.lists[min(self.asked, len(self.lists)) - 1]


@dataclass
class Hooked:
    """Everything a test looks at."""

    bus: EventBus
    webhooks: Webhooks
    queue: HandQueue
    engine: AsyncEngine
    seen: Recorded

    async def published(self, event: Event) -> str:
        """Publish it; the id of its delivery."""
        count = len(self.queue.added) + 1
        self.bus.publish(event)
        return (await self.queue.ids(count))[-1]

    async def rows(self) -> list[dict[str, Any]]:
        async with self.engine.connect() as db:
            found = await db.execute(select(webhook_deliveries).order_by(webhook_deliveries.c.created_at))
            return [dict(row) for row in found.mappings()]


def hook(url: str, *events: str, name: str = "crm", **more: Any) -> dict[str, Any]:
    return {"name": name, "url": url, "secret": SECRET, "events": list(events) or ["Sold"], **more}


def configured(*hooks: dict[str, Any], **more: Any) -> WebhookSettings:
    values = {"allowed_hosts": ["127.0.0.1", "::1", "*.test"], "allow_private_addresses": True}
    return WebhookSettings.model_validate({**values, "hooks": list(hooks), **more})


@asynccontextmanager
async def hooked(
    settings: WebhookSettings, home: Path, *, resolve: Resolve = resolved
) -> AsyncIterator[Hooked]:
    """Webhooks that listen, on a new database."""
    queue = HandQueue()
    url = URL.create("sqlite+aiosqlite", database=str(home / "waystation.db"))
    async with (
        opened_database(url) as engine,
        EventBus() as bus,
        Webhooks(settings, engine=engine, queue=queue, bus=bus, resolve=resolve) as webhooks,
    ):
        webhooks.subscribe()
        with record(bus) as seen:
            yield Hooked(bus, webhooks, queue, engine, seen)


@asynccontextmanager
async def served(home: Path, **more: Any) -> AsyncIterator[tuple[WebhookServer, Hooked]]:
    """A receiver, and webhooks that send Sold to it."""
    async with WebhookServer() as server, hooked(configured(hook(server.url), **more), home) as ours:
        yield server, ours
