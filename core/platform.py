"""What every module may ask the container for."""

# No `from __future__ import annotations`: dishka reads the annotations at run time.

from collections.abc import AsyncIterator, Iterator

from dishka import Provider, Scope, provide

from core.cache import Cache
from core.cache.settings import CacheSettings
from core.events import EventBus
from core.events.bus import AuditLog
from core.events.settings import EventSettings
from core.resilience import Policies, ResilienceSettings, breakers_folder
from core.settings import Book, Places


class PlatformProvider(Provider):
    """The event bus, the policies of calls that leave the process, and the cache."""

    scope = Scope.APP

    @provide
    async def bus(self, book: Book, places: Places) -> AsyncIterator[EventBus]:
        settings = book[EventSettings]
        bus = EventBus(settings.queue, drain_s=settings.drain_seconds)
        if settings.audit:
            audit = AuditLog(places.home / "logs", max_bytes=settings.audit_bytes, files=settings.audit_files)
            audit.subscribe_to(bus)
        async with bus:
            yield bus

    @provide
    def policies(self, book: Book, places: Places, bus: EventBus) -> Iterator[Policies]:
        policies = Policies(book[ResilienceSettings], publish=bus.publish, resets=breakers_folder(places))
        yield policies
        policies.close()

    @provide
    async def cache(self, book: Book) -> AsyncIterator[Cache]:
        async with Cache(book[CacheSettings]) as cache:
            yield cache
