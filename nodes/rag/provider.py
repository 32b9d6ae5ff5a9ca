"""Builds the services of this module from the settings."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
from dishka import Provider, Scope, provide

from core.settings import Book, Places
from nodes.rag.adapters.embeddings import EndpointEmbedder
from nodes.rag.adapters.http import HttpRetriever
from nodes.rag.adapters.lance import LanceFolder, LanceStore
from nodes.rag.adapters.mcp import McpRetriever
from nodes.rag.client import RAGClient, Source
from nodes.rag.indexing import Indexer
from nodes.rag.local import LocalRetriever
from nodes.rag.manifest import ManifestFile, index_name
from nodes.rag.settings import RagSettings
from nodes.rag.sources import HttpSource, LocalSource, SourceEntry, SourcesFile


class RagProvider(Provider):
    """The retrieval client, with one kept HTTP client for all remote sources."""

    scope = Scope.APP

    @provide
    async def client(self, book: Book, places: Places) -> AsyncIterator[RAGClient]:
        entries = book[SourcesFile].sources
        async with AsyncExitStack() as stack:
            folder = LanceFolder(places.home / "index")
            stack.callback(folder.close)
            http = await stack.enter_async_context(httpx.AsyncClient()) if _remote(entries) else None
            settings = book[RagSettings]
            workshop = _Workshop(folder, settings, http)
            yield RAGClient({name: workshop.source(name, e) for name, e in entries.items()}, settings)


@dataclass(frozen=True, slots=True)
class _Workshop:
    """Puts one source together. `http` is None where no source needs it: making one costs 20 ms."""

    folder: LanceFolder
    settings: RagSettings
    http: httpx.AsyncClient | None

    def source(self, name: str, entry: SourceEntry) -> Source:
        if isinstance(entry, LocalSource):
            return self._local(name, entry)
        if isinstance(entry, HttpSource) and self.http:
            return Source(entry, HttpRetriever(name, entry, http=self.http))
        return Source(entry, McpRetriever())

    def _local(self, name: str, entry: LocalSource) -> Source:
        embedder = EndpointEmbedder(entry.embedder, http=self.http) if entry.embedder and self.http else None
        flavour = f"{entry.embedder.url} {entry.embedder.model}" if entry.embedder else ""
        index = index_name(name, flavour)
        store = LanceStore(self.folder, index)
        indexer = Indexer(
            name,
            entry.patterns,
            store=store,
            manifest=ManifestFile(self.folder.path, index),
            chunk_tokens=entry.chunk_tokens or self.settings.chunk_tokens,
            max_file_bytes=self.settings.max_file_bytes,
            embedder=embedder,
        )
        retriever = LocalRetriever(name, store=store, min_score=self.settings.min_score, embedder=embedder)
        return Source(entry, retriever, indexer, store)


def _remote(entries: Mapping[str, SourceEntry]) -> bool:
    return any(
        isinstance(entry, HttpSource) or (isinstance(entry, LocalSource) and entry.embedder)
        for entry in entries.values()
    )
