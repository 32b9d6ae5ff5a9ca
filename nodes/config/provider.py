"""What this module puts into the container."""

from __future__ import annotations

from dishka import Provider, Scope, provide

from core.settings import Book
from nodes.config.fake import FakeModels, FakeServers, FakeSources
from nodes.config.lookup import ConfigLookup
from nodes.config.manager import ConfigManager
from nodes.config.ports import ModelCatalogue, ServerCatalogue, SourceCatalogue
from nodes.config.settings import LimitSettings


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
        self, book: Book, models: ModelCatalogue, sources: SourceCatalogue, servers: ServerCatalogue
    ) -> ConfigLookup:
        return ConfigLookup(models, sources, servers, limit_steps=book[LimitSettings].steps)
