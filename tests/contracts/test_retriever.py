"""The suite of Retriever over the fake, the local index in both stores, and HTTP and MCP in their shapes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing as closing_later
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx
import pytest

from core.tool_bench import lend_server
from nodes.rag.adapters.http import HttpRetriever
from nodes.rag.adapters.lance import LanceFolder, LanceStore
from nodes.rag.adapters.mcp import McpRetriever
from nodes.rag.fake import FakeRetriever, MemoryStore
from nodes.rag.indexing import Indexer
from nodes.rag.local import LocalRetriever
from nodes.rag.manifest import ManifestFile
from nodes.rag.ports import ChunkStore, Retriever
from nodes.rag.settings import HttpSource
from waystation.testing.contracts.retriever import DOCUMENTS, RetrieverContract
from waystation.testing.mcp_servers import rag_mcp_source
from waystation.testing.rag_server import RagServer


class TestFake(RetrieverContract):
    @pytest.fixture
    def retriever(self) -> Retriever:
        return FakeRetriever("handbook", DOCUMENTS)


class TestMemory(RetrieverContract):
    @pytest.fixture
    async def retriever(self, tmp_path: Path) -> Retriever:
        return await indexed(MemoryStore(), tmp_path)


class TestLance(RetrieverContract):
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Iterator[LanceFolder]:
        with closing(LanceFolder(tmp_path / "index")) as folder:
            yield folder

    @pytest.fixture
    async def retriever(self, folder: LanceFolder, tmp_path: Path) -> Retriever:
        return await indexed(LanceStore(folder, "handbook"), tmp_path)


class TestHttp(RetrieverContract):
    @pytest.fixture(params=["v1", "v1-older", "v2"])
    async def retriever(
        self, request: pytest.FixtureRequest, rag_server: RagServer
    ) -> AsyncIterator[Retriever]:
        version, _, older = request.param.partition("-")
        rag_server.behave(shape=older or "newer")
        entry = HttpSource.model_validate({"type": "http", "url": rag_server.url, "api_version": version})
        async with httpx.AsyncClient(trust_env=False) as http:
            yield HttpRetriever("handbook", entry, http=http)


class TestMcp(RetrieverContract):
    @pytest.fixture(scope="class", params=["normal", "flat"])
    async def retriever(
        self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> AsyncIterator[Retriever]:
        folder = tmp_path_factory.mktemp("mcp")
        entry = rag_mcp_source(request.param, folder / "calls")
        opened = partial(lend_server, "handbook", entry.server, home=folder)
        async with closing_later(McpRetriever("handbook", entry, opened)) as retriever:
            yield retriever


async def indexed(store: ChunkStore, tmp_path: Path) -> LocalRetriever:
    root = tmp_path / "handbook"
    root.mkdir()
    for name, text in DOCUMENTS.items():
        (root / name).write_text(text, encoding="utf-8")
    manifest = ManifestFile(tmp_path / "index", "handbook")
    indexer = Indexer(
        "handbook", [str(root)], store=store, manifest=manifest, chunk_tokens=200, max_file_bytes=100_000
    )
    await indexer.update()
    return LocalRetriever("handbook", store=store, min_score=0.3)
