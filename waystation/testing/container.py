"""A module on fakes: the container that it gets in the service, and nothing that leaves the process.

    async with module_container(MODULE, tmp_path, greeter={"word": "Ahoy"}) as container:
        greeter = await container.get(Greeter)

`Fakes` also goes into a whole agent: `open_agent(tmp_path, providers=[Fakes(model=ScriptedModel("Hi"))])`.
"""

# No `from __future__ import annotations`: dishka reads the annotations at run time.

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dishka import AsyncContainer, Provider, Scope, provide

from core import lifecycle
from core.container import build_container
from core.registry import Module, discover, files_of, sections_of
from core.sections import SECTIONS
from core.settings import read_book
from nodes.config.fake import FakeModels, FakeServers, FakeSources
from nodes.config.ports import ModelCatalogue, ServerCatalogue, SourceCatalogue
from nodes.file_storage.fake import MemoryStore
from nodes.file_storage.links import FixedHost, LinkSigner
from nodes.file_storage.ports import FileStore, LinkHost
from nodes.llm.caller import LLMCaller
from nodes.llm.fake import ScriptedModel
from nodes.llm.models import Catalogue, Model
from nodes.llm.ports import ChatModel
from nodes.mcp_tools.fake import FakeConnector, FakeLinks, FakeServer
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.plugins import Inventory
from nodes.mcp_tools.ports import FileLinks, ToolConnector
from nodes.mcp_tools.settings import McpSettings, ServerEntry
from nodes.rag.client import RAGClient
from nodes.rag.fake import FakeRetriever
from nodes.rag.settings import HttpSource, RagSettings
from nodes.rag.source import Source
from waystation.testing.agents import context_at

SCRIPTED = "scripted"
_NOWHERE = "http://127.0.0.1:9"


class Fakes(Provider):
    """A fake behind every port that leads out of the process.

    Args:
        model: The one model, called "scripted".
        servers: Tool servers by name; the bundled ones are not there.
        sources: Texts by document, by source.
    """

    scope = Scope.APP

    def __init__(
        self,
        *,
        model: ChatModel | None = None,
        servers: Mapping[str, FakeServer] | None = None,
        sources: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__()
        self.model = model or ScriptedModel()
        self.servers = dict(servers or {})
        self.sources = {name: FakeRetriever(name, texts) for name, texts in (sources or {}).items()}

    @provide
    async def caller(self) -> AsyncIterator[LLMCaller]:
        caller = LLMCaller(Catalogue({SCRIPTED: Model(SCRIPTED)}), lambda _: self.model)
        yield caller
        await caller.aclose()

    @provide
    async def retrieval(self) -> AsyncIterator[RAGClient]:
        entry = HttpSource(type="http", url=_NOWHERE)
        client = RAGClient({n: Source(entry, found) for n, found in self.sources.items()}, RagSettings())
        yield client
        await client.aclose()

    @provide
    def connector(self) -> ToolConnector:
        return FakeConnector(self.servers)

    @provide
    async def tools(self, connector: ToolConnector) -> AsyncIterator[MCPToolManager]:
        entries = {name: ServerEntry(url=_NOWHERE, transport="http") for name in self.servers}
        async with MCPToolManager(Inventory(entries), connector, McpSettings()) as manager:
            yield manager

    @provide
    def store(self) -> FileStore:
        return MemoryStore()

    @provide
    def signer(self) -> LinkSigner:
        return LinkSigner("a signing secret for tests and for nothing else")

    @provide
    def host(self) -> LinkHost:
        return FixedHost(_NOWHERE)


class Alone(Provider):
    """What the composition root joins to other modules, for a module that runs alone."""

    scope = Scope.APP

    @provide
    def models(self) -> ModelCatalogue:
        return FakeModels({SCRIPTED: Model(SCRIPTED)})

    @provide
    def sources(self) -> SourceCatalogue:
        return FakeSources()

    @provide
    def servers(self) -> ServerCatalogue:
        return FakeServers()

    @provide
    def links(self) -> FileLinks:
        return FakeLinks()


@asynccontextmanager
async def module_container(
    module: Module,
    folder: Path,
    *overrides: Provider,
    fakes: Fakes | None = None,
    environ: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    **settings: Mapping[str, Any],
) -> AsyncIterator[AsyncContainer]:
    """The container of `module` and of those that it needs, started on fakes; stopped and closed at the end.

    Args:
        folder: Where its configuration and its home are made.
        overrides: Replace what the modules and the fakes provide.
        environ: Environment variables that the settings see.
        files: Configuration files by name.
        settings: Sections by name, over the files.

    Raises:
        ConfigErrors: The configuration is not valid.
        ConfigInvalid: Something that a constructor needs is provided by nobody.
        ModuleNotStarted, StartFailed: It did not start.
    """
    modules = with_needs(module)
    own = sections_of(modules)
    platform = [section for section in SECTIONS if section not in own]
    context = context_at(folder, environ=environ, files={**(files or {})}, **settings)
    book = read_book([*own, *platform], files_of(modules), context, partial=True)
    container = build_container(modules, book, fakes or Fakes(), Alone(), *overrides)
    try:
        await lifecycle.start(modules, container)
        yield container
        await lifecycle.stop(modules, container)
    finally:
        await lifecycle.close(container)


def with_needs(module: Module) -> list[Module]:
    """The module behind all that it needs."""
    known = {found.name: found for found in discover()}
    behind = [one for name in module.needs for one in with_needs(known[name])]
    return [*{found.name: found for found in [*behind, module]}.values()]
