"""The composition root: modules, settings and database become one container and five nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from dishka import AsyncContainer, Provider, Scope, provide

from core.access import Principal
from core.container import build_container
from core.health import HealthBoard
from core.registry import Module, discover, files_of, sections_of
from core.settings import Book, Context, read_book
from core.settings.platform import LimitSettings
from graph.builder import Steps
from graph.routing import AfterModel
from nodes.config.node import LookupConfig
from nodes.config.ports import ModelCatalogue, ServerCatalogue, SourceCatalogue
from nodes.file_storage import FileManager
from nodes.llm import LLMCaller
from nodes.llm.ports import Toolbox
from nodes.mcp_tools import MCPToolManager
from nodes.mcp_tools.node import ExecuteTools
from nodes.mcp_tools.ports import FileLinks
from nodes.rag import RAGClient
from nodes.rag.node import Retrieve


class Bridges(Provider):
    """Where one module's port meets another module's service; modules do not know each other."""

    scope = Scope.APP

    @provide(override=True)
    def models(self, llm: LLMCaller) -> ModelCatalogue:
        return llm

    @provide(override=True)
    def sources(self, rag: RAGClient) -> SourceCatalogue:
        return rag

    @provide(override=True)
    def servers(self, mcp: MCPToolManager) -> ServerCatalogue:
        return mcp

    @provide(override=True)
    def toolbox(self, mcp: MCPToolManager) -> Toolbox:
        return mcp

    @provide(override=True)
    def links(self, files: FileManager) -> FileLinks:
        return StoredFileLinks(files)

    @provide
    def after_model(self, book: Book) -> AfterModel:
        limits = book[LimitSettings]
        return AfterModel(steps=limits.steps, tool_calls=limits.tool_calls)

    steps = provide(Steps)
    lookup = provide(LookupConfig)
    retrieve = provide(Retrieve)
    execute_tools = provide(ExecuteTools)


class StoredFileLinks:
    """Gives tools a signed link to a file of the thread."""

    def __init__(self, files: FileManager) -> None:
        self._files = files

    async def link(self, key: str, *, principal: Principal) -> str:
        return await self._files.link(principal, key)


@dataclass(frozen=True, slots=True)
class Services:
    """What a process of ours runs on."""

    modules: list[Module]
    book: Book
    container: AsyncContainer
    steps: Steps
    health: HealthBoard


@asynccontextmanager
async def open_services(
    context: Context | None = None, providers: Sequence[Provider] = ()
) -> AsyncIterator[Services]:
    """Find the modules, read the configuration, build everything; close it in reverse order.

    Args:
        providers: Override what the modules provide (tests, notebooks).

    Raises:
        ConfigErrors: With every problem in the configuration.
        ConfigInvalid: Modules or services do not fit together.
    """
    modules = discover()
    book = read_book(sections_of(modules), files_of(modules), context or Context.current())
    book.context.places.home.mkdir(parents=True, exist_ok=True)
    container = build_container(modules, book, Bridges(), *providers)
    try:
        steps = await container.get(Steps)
        for module in modules:
            if module.start:
                await module.start(container)
        yield Services(modules, book, container, steps, _board(modules, container))
    finally:
        await container.close()


def _board(modules: Sequence[Module], container: AsyncContainer) -> HealthBoard:
    checks = {module.name: (lambda m=module: m.check(container)) for module in modules}
    return HealthBoard(checks, required=frozenset(m.name for m in modules if m.required))
