"""What this module puts into the container."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from dishka import AsyncContainer, Provider, Scope, provide

from core.events import EventBus
from core.settings import Book, Places
from core.settings.book import Editions
from nodes.config.fake import FakeModels, FakeServers, FakeSources
from nodes.config.lookup import ConfigLookup
from nodes.config.manager import ConfigManager
from nodes.config.node import LookupConfig
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

    node = provide(LookupConfig)

    @provide
    async def watcher(
        self, manager: ConfigManager, editions: Editions, book: Book, events: EventBus
    ) -> AsyncIterator[ConfigWatcher]:
        watcher = ConfigWatcher(manager, editions, book[ReloadSettings], publish=events.publish)
        async with watcher.watching():
            yield watcher


async def start(container: AsyncContainer) -> None:
    """Leave the snapshot that `reload-check` compares with, and watch the files."""
    manager, places = await container.get(ConfigManager), await container.get(Places)
    await asyncio.to_thread(manager.loaded().save, places.home)
    await container.get(ConfigWatcher)
