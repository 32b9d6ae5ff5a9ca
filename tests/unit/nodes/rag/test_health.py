"""What health says of sources that fail and come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.access import Principal
from core.health import Health, HealthState, healthy
from core.resilience import Policies, ResilienceSettings
from nodes.rag import RAGClient, RagSettings, Source
from nodes.rag.adapters.embeddings import EndpointEmbedder
from nodes.rag.adapters.http import HttpRetriever
from nodes.rag.embedding import QuestionEmbedder
from nodes.rag.endpoints import EmbedderEntry
from nodes.rag.errors import IndexBroken, SourceRefused
from nodes.rag.fake import FakeRetriever, MemoryStore
from nodes.rag.indexing import Indexer
from nodes.rag.local import LocalRetriever
from nodes.rag.manifest import ManifestFile
from nodes.rag.settings import HttpSource, LocalSource
from nodes.rag.source import SourceCalls
from tests.kit.patience import A_BUSY_MACHINE_S
from tests.kit.task_queues import eventually
from tests.unit.nodes.rag.corpus import write
from waystation.testing.rag_server import RagServer

pytestmark = pytest.mark.slow

ADA = Principal("ada")
QUICK = {"backoff_s": 0.01, "in_a_row": 2, "open_s": 0.2, "attempts": 1}


@pytest.fixture
def server(rag_server: RagServer) -> RagServer:
    return rag_server


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


class World:
    """A client over `wiki`, a local source that always answers, and what else a test brings."""

    def __init__(
        self,
        server: RagServer,
        http: httpx.AsyncClient,
        *,
        answer_s: float = A_BUSY_MACHINE_S,
        check_s: float = A_BUSY_MACHINE_S,
        rules: Policies | None = None,
        **more: Source,
    ) -> None:
        self.policies = rules or Policies(ResilienceSettings.model_validate({"source": QUICK}))
        entry = HttpSource(url=server.url, timeout=answer_s)
        docs = Source(LocalSource(path=["x"]), FakeRetriever("docs", {"a.md": "Leave is paid."}))
        sources = {"wiki": Source(entry, HttpRetriever("wiki", entry, http=http)), "docs": docs, **more}
        settings = RagSettings()
        calls = SourceCalls(settings, policies=self.policies)
        self.client = RAGClient(sources, settings, calls=calls, check_seconds=check_s)

    async def fail(self, source: str = "wiki") -> None:
        """Search until the breaker is open."""
        for _ in range(2):
            await self.client.query("annual leave", sources=[source], principal=ADA)
        [target] = [t for t in self.policies.status() if t.name == source]
        assert target.state == "open"

    async def detail(self, source: str = "wiki") -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.check()).details["sources"][source]
        return found

    async def closed(self, source: str = "wiki") -> None:
        """Returns when health, asked again and again, has it closed."""

        async def holds() -> bool:
            return bool((await self.detail(source))["breaker"] == "closed")

        await eventually(holds)


async def test_a_source_that_is_left_alone_is_named_with_since_when(
    server: RagServer, http: httpx.AsyncClient
) -> None:
    world = World(server, http)
    server.behave(fault="status", status=503)
    await world.fail()
    health = await world.client.check()
    assert health.state is HealthState.DEGRADED
    assert "source 'wiki' does not work: the service answered HTTP 503 (since " in health.reason
    assert "source 'wiki' is left alone: 2 of 2 calls failed" in health.reason
    wiki, docs = health.details["sources"]["wiki"], health.details["sources"]["docs"]
    assert (wiki["state"], wiki["breaker"]) == ("degraded", "open")
    assert datetime.fromisoformat(wiki["since"]) <= datetime.fromisoformat(wiki["breaker_since"])
    assert health.since == datetime.fromisoformat(wiki["since"])
    assert (docs["state"], docs["breaker"], docs["since"]) == ("healthy", "closed", None)


async def test_a_source_that_is_back_is_used_again_although_nobody_searches(
    server: RagServer, http: httpx.AsyncClient
) -> None:
    world = World(server, http, answer_s=0.3, check_s=1)
    server.behave(fault="hang")
    await world.fail()
    assert (await world.detail())["reason"] == "no answer within 1 s"
    server.behave()
    await world.closed()
    assert (await world.client.check()).state is HealthState.HEALTHY


async def test_a_query_that_hangs_behind_a_discovery_that_works_is_for_searches_to_try(
    server: RagServer, http: httpx.AsyncClient
) -> None:
    world = World(server, http)
    server.behave(fault="status", status=500, only="query")
    for _ in range(5):
        await world.client.query("annual leave", sources=["wiki"], principal=ADA)
    health = await world.client.check()
    assert (health.state, (await world.detail())["breaker"]) == (HealthState.DEGRADED, "open")
    assert "does not work" not in health.reason
    server.behave()

    async def answered() -> bool:
        assert (await world.detail())["breaker"] == "open"  # asking for its health alone does not close it
        return bool((await world.client.query("annual leave", sources=["wiki"], principal=ADA)).passages)

    await eventually(answered)
    assert (await world.client.check()).state is HealthState.HEALTHY


async def test_when_no_source_works_that_is_failed(server: RagServer, http: httpx.AsyncClient) -> None:
    entry = HttpSource(url="http://127.0.0.1:9", timeout=0.3)
    gone = RAGClient({"gone": Source(entry, HttpRetriever("gone", entry, http=http))}, RagSettings())
    assert (await gone.check()).state is HealthState.FAILED
    broken = Source(LocalSource(path=["x"]), Broken("x", {}))
    assert (await RAGClient({"broken": broken}, RagSettings()).check()).state is HealthState.FAILED


async def test_st8_an_index_that_takes_long_to_open_is_waited_for_while_it_starts(
    server: RagServer, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    store = Opening()
    manifest = ManifestFile(tmp_path / "index", "slow")
    indexer = Indexer(
        "slow", [str(tmp_path)], store=store, manifest=manifest, chunk_tokens=9, max_file_bytes=9
    )
    slow = Source(LocalSource(path=["x"]), LocalRetriever("slow", store=store, min_score=0.3), indexer, store)
    calls = SourceCalls(RagSettings(), policies=Policies(ResilienceSettings()))
    client = RAGClient({"slow": slow}, RagSettings(), calls=calls, check_seconds=0.01)
    first = asyncio.create_task(client.check())
    await store.asked.wait()
    assert not (await asyncio.wait({first}, timeout=0.05))[0]  # five times what a known source may take
    store.open_now.set()
    assert (await first).state is HealthState.HEALTHY
    store.open_now.clear()
    assert "no answer within 0.01 s" in (await client.check()).reason


class Opening(MemoryStore):
    """Answers when it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.open_now = asyncio.Event(), asyncio.Event()

    async def check(self, *, expected: int) -> Health:
        self.asked.set()
        await self.open_now.wait()
        return healthy()


class Broken(FakeRetriever):
    """Raises where it should report."""

    async def check(self) -> Any:
        raise IndexBroken("it cannot be read")


async def test_an_embedder_that_is_back_is_used_again(
    server: RagServer, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    root = write(tmp_path / "docs", {"a.md": "# Leave\n\nThirty days of holiday.\n"})
    embedder = EmbedderEntry(url=f"{server.url}/v1", model="m")
    store = MemoryStore()
    manifest = ManifestFile(tmp_path / "index", "meaning")
    indexer = Indexer(
        "meaning", [str(root)], store=store, manifest=manifest, chunk_tokens=200, max_file_bytes=10_000
    )
    entry = LocalSource(path=[str(root)], embedder=embedder)
    rules = Policies(ResilienceSettings.model_validate({"source": QUICK}))
    asked = EndpointEmbedder(embedder, http=http)
    questions = QuestionEmbedder(asked, policy=rules.of("source", "meaning"), seconds=A_BUSY_MACHINE_S)
    retriever = LocalRetriever("meaning", store=store, min_score=0.3, embedder=questions)
    entry = LocalSource(path=[str(root)], embedder=embedder)
    source = Source(entry, retriever, indexer, store, questions=questions)
    world = World(server, http, rules=rules, meaning=source)
    server.behave(fault="status", status=500, only="embeddings")
    await world.fail("meaning")
    health = await world.client.check()
    assert (health.state, health.details["sources"]["meaning"]["state"]) == (HealthState.DEGRADED, "healthy")
    assert "source 'meaning' is left alone: 2 of 2 calls failed" in health.reason
    by_words = (
        "source 'meaning' is searched by words alone: its embedder failed: the service answered HTTP 500"
    )
    assert by_words in health.reason
    server.behave()
    await world.closed("meaning")
    assert (await world.client.check()).state is HealthState.HEALTHY


async def test_an_embedder_that_refuses_us_is_told_until_it_does_not(
    server: RagServer, http: httpx.AsyncClient
) -> None:
    rules = Policies(ResilienceSettings.model_validate({"source": QUICK}))
    asked = EndpointEmbedder(EmbedderEntry(url=f"{server.url}/v1", model="m"), http=http)
    questions = QuestionEmbedder(asked, policy=rules.of("source", "docs"), seconds=A_BUSY_MACHINE_S)
    local = FakeRetriever("docs", {"a.md": "Leave is paid."})
    source = Source(LocalSource(path=["x"]), local, questions=questions)
    client = RAGClient({"docs": source}, RagSettings(), calls=SourceCalls(RagSettings(), policies=rules))
    server.behave(fault="status", status=401)
    with pytest.raises(SourceRefused):
        await questions.embed(["leave"])
    for _ in range(2):
        health = await client.check()
        assert health.state is HealthState.DEGRADED
        assert "its embedder failed: access was refused (HTTP 401)" in health.reason
    server.behave()
    assert (await client.check()).state is HealthState.HEALTHY
