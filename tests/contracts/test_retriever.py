"""What every Retriever promises: one suite over the fake, the local index, and HTTP in its shapes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from core.health import HealthState
from nodes.rag.adapters.http import HttpRetriever
from nodes.rag.adapters.lance import LanceFolder, LanceStore
from nodes.rag.fake import FakeRetriever, MemoryStore
from nodes.rag.indexing import Indexer
from nodes.rag.local import LocalRetriever
from nodes.rag.manifest import ManifestFile
from nodes.rag.ports import ChunkStore, Retriever
from nodes.rag.sources import HttpSource
from tests.kit.rag_server import CORPUS, RagServer

DOCUMENTS = CORPUS["handbook"]
QUESTION = "How many days of annual leave does an employee have?"


@pytest.fixture(scope="module")
def server() -> Iterator[RagServer]:
    with RagServer() as running:
        yield running


@pytest.fixture(params=["fake", "memory", "lance", "http-v1", "http-v1-older", "http-v2"])
async def retriever(
    request: pytest.FixtureRequest, tmp_path: Path, server: RagServer
) -> AsyncIterator[Retriever]:
    kind: str = request.param
    if kind == "fake":
        yield FakeRetriever("handbook", DOCUMENTS)
    elif kind == "memory":
        yield await indexed(MemoryStore(), tmp_path)
    elif kind == "lance":
        folder = LanceFolder(tmp_path / "index")
        yield await indexed(LanceStore(folder, "handbook"), tmp_path)
        folder.close()
    else:
        server.forget()
        server.behave(shape="older" if kind.endswith("older") else "newer")
        version = "v2" if kind == "http-v2" else "v1"
        entry = HttpSource.model_validate({"type": "http", "url": server.url, "api_version": version})
        async with httpx.AsyncClient(trust_env=False) as http:
            yield HttpRetriever("handbook", entry, http=http)


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


async def test_the_best_passage_comes_first_and_names_source_and_document(retriever: Retriever) -> None:
    first = (await retriever.search(QUESTION, limit=4, as_user="ada"))[0]
    assert (first.source, first.document) == ("handbook", "leave.md")
    assert "thirty days of annual leave" in first.text


async def test_a_passage_is_word_for_word_what_the_document_says(retriever: Retriever) -> None:
    for passage in await retriever.search(QUESTION, limit=4, as_user="ada"):
        assert passage.text in DOCUMENTS[passage.document]


async def test_no_passage_tells_a_path_of_a_machine(retriever: Retriever, tmp_path: Path) -> None:
    for passage in await retriever.search(QUESTION, limit=4, as_user="ada"):
        shown = f"{passage.document} {passage.title} {passage.uri}"
        assert not re.search(r"(^|\s)[/\\]", shown)
        assert str(tmp_path) not in shown


async def test_there_are_never_more_passages_than_asked_for(retriever: Retriever) -> None:
    query = "annual leave, train journeys, and passwords of laptops"
    assert len(await retriever.search(query, limit=10, as_user="ada")) >= 2
    assert len(await retriever.search(query, limit=1, as_user="ada")) == 1


async def test_passages_come_best_first(retriever: Retriever) -> None:
    query = "annual leave, train journeys, and passwords of laptops"
    scores = [p.score for p in await retriever.search(query, limit=10, as_user="ada")]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("query", ["zebra quantum", "What is 5 + 3?", "", "   "])
async def test_what_nothing_bears_on_gives_no_passage(retriever: Retriever, query: str) -> None:
    assert list(await retriever.search(query, limit=4, as_user="ada")) == []


@pytest.mark.parametrize(
    "query", ["'; DROP TABLE x; --", 'leave" AND (title:', "🙂 \ud7ff ﷽", "leave " * 5000]
)
async def test_any_text_may_be_asked(retriever: Retriever, query: str) -> None:
    for passage in await retriever.search(query, limit=4, as_user="ada"):
        assert passage.source == "handbook"


async def test_it_says_that_it_is_well(retriever: Retriever) -> None:
    assert (await retriever.check()).state is HealthState.HEALTHY
