from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from nodes.rag.adapters.embeddings import EndpointEmbedder
from nodes.rag.adapters.lance import LanceFolder, LanceStore
from nodes.rag.chunking import chunk_document
from nodes.rag.endpoints import EmbedderEntry
from nodes.rag.errors import SourceUnavailable
from nodes.rag.fake import MemoryStore
from nodes.rag.indexing import Indexer
from nodes.rag.local import LocalRetriever
from nodes.rag.manifest import ManifestFile
from nodes.rag.ports import ChunkStore
from nodes.rag.settings import RagSettings
from tests.unit.nodes.rag.corpus import HANDBOOK, write
from waystation.testing.rag_server import RagServer


@pytest.fixture
async def handbook() -> LocalRetriever:
    store = MemoryStore()
    for name, text in HANDBOOK.items():
        await store.replace([name], chunk_document(name, text, chunk_tokens=200))
    return LocalRetriever("handbook", store=store, min_score=RagSettings().min_score)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("How do I start the service?", "Run `harbour serve`"),
        ("Where does Harbour keep its data?", "HARBOUR_HOME"),
        ("What happens to running requests when it stops?", "Running requests drain"),
        ("Which status do I get when I pass a limit?", "413"),
        ("how many streams may a user have", "20 streams"),
        ("How do I add a tool?", "plugin.json"),
        ("Where are the backups kept?", "folder backups"),
    ],
)
async def test_a_question_finds_what_answers_it(handbook: LocalRetriever, question: str, said: str) -> None:
    found = await handbook.search(question, limit=2, as_user="ada")
    assert any(said in passage.text for passage in found)


@pytest.mark.parametrize(
    "talk",
    [
        "What is 5 + 3?",
        "Hello!",
        "How are you today?",
        "What is the capital of France?",
        "Multiply 1234 by 567.",
        "Tell me a joke about penguins",
    ],
)
async def test_what_the_handbook_does_not_speak_of_gives_nothing(handbook: LocalRetriever, talk: str) -> None:
    assert list(await handbook.search(talk, limit=4, as_user="ada")) == []


async def test_a_long_message_finds_passages_that_hold_a_part_of_it(handbook: LocalRetriever) -> None:
    message = (
        "Dear colleague, yesterday our nightly import broke because of an outage in Lisbon, the operators "
        "lost three hours of measurements and my manager wonders which folder holds backups every night."
    )
    found = await handbook.search(message, limit=1, as_user="ada")
    assert [p.document for p in found] == ["faq.txt"]


async def test_copies_of_a_text_are_given_once() -> None:
    store = MemoryStore()
    for name in ("a.txt", "b.txt"):
        await store.replace([name], chunk_document(name, "Kites fly on Mondays.", chunk_tokens=50))
    found = await LocalRetriever("s", store=store, min_score=RagSettings().min_score).search(
        "kites", limit=4, as_user="ada"
    )
    assert len(found) == 1


@pytest.mark.parametrize("kind", ["memory", "lance"])
async def test_an_embedder_finds_what_other_words_say(kind: str, tmp_path: Path) -> None:
    texts = {
        "leave.txt": "Thirty days of leave.",
        "train.txt": "Journeys go by train.",
        "cat.txt": "A cat sleeps.",
    }
    root = write(tmp_path / "docs", texts)
    folder = LanceFolder(tmp_path / "index")
    store: ChunkStore = MemoryStore() if kind == "memory" else LanceStore(folder, "docs")
    with RagServer() as server:
        async with httpx.AsyncClient(trust_env=False) as http:
            entry = EmbedderEntry(url=f"{server.url}/v1/embeddings", model="words-1")
            embedder = EndpointEmbedder(entry, http=http)
            await Indexer(
                "docs",
                [str(root)],
                store=store,
                manifest=ManifestFile(tmp_path / "index", "docs"),
                chunk_tokens=50,
                max_file_bytes=1000,
                embedder=embedder,
            ).update()
            hybrid = LocalRetriever("docs", store=store, min_score=0.6, embedder=embedder)
            found = await hybrid.search("holiday vacation", limit=1, as_user="ada")
            assert [p.document for p in found] == ["leave.txt"]
            assert 0.6 <= found[0].score <= 1
            words_alone = LocalRetriever("docs", store=store, min_score=0.6)
            assert await words_alone.search("holiday vacation", limit=1, as_user="ada") == []
            assert server.requests()[-1]["body"]["model"] == "words-1"
            for fault in ("wrong", "text", "status", "huge"):
                server.behave(fault=fault, only="embeddings")
                with pytest.raises(SourceUnavailable):
                    await embedder.embed(["holiday"])
    folder.close()


async def test_a_store_without_vectors_has_nothing_near(tmp_path: Path) -> None:
    folder = LanceFolder(tmp_path / "index")
    store = LanceStore(folder, "x")
    assert await store.near([1.0], limit=1) == []
    await store.replace(["a.txt"], chunk_document("a.txt", "Kites.", chunk_tokens=50))
    assert await store.near([1.0], limit=1) == []
    folder.close()
