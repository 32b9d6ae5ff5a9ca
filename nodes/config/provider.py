"""What this module puts into the container."""

from __future__ import annotations

from collections.abc import AsyncIterator

from dishka import Provider, Scope, provide

from core.editions import Editions
from core.events import EventBus
from core.settings import Book
from nodes.config.fake import FakeModels, FakeServers, FakeSources
from nodes.config.lookup import ConfigLookup
from nodes.config.manager import ConfigManager
from nodes.config.ports import ModelCatalogue, ServerCatalogue, SourceCatalogue
from nodes.config.settings import ReloadSettings
from nodes.config.watch import ConfigWatcher


class ConfigProvider(Provider):
    """Alone, the module knows no model, source or server; the composition root joins the modules that do."""

    scope = Scope.APP

    @provide
    def manager(self, book: Book) -> ConfigManager:
        return ConfigManager(book, book.sections, book.files)

    @provide
    def models(self) -> ModelCatalogue:
        return FakeModels()

    @provide
    def sources(self) -> SourceCatalogue:
        return FakeSources()

    @provide
    def servers(self) -> ServerCatalogue:
        return FakeServers()

    @provide
    def lookup(
        self, editions: Editions, models: ModelCatalogue, sources: SourceCatalogue, servers: ServerCatalogue
    ) -> ConfigLookup:
        return ConfigLookup(models, sources, servers, editions=editions)

    @provide
    async def watcher(
        self, manager: ConfigManager, editions: Editions, book: Book, events: EventBus
    ) -> AsyncIterator[ConfigWatcher]:
        watcher = ConfigWatcher(manager, editions, book[ReloadSettings], publish=events.publish)
        async with watcher.watching():
            yield watcher
