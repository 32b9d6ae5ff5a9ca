"""Who may see little of much finds all of that little."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.access import Principal
from nodes.rag import RAGClient, RagSettings
from nodes.rag.adapters.lance import LanceFolder, LanceStore
from nodes.rag.errors import SourceNotFound
from nodes.rag.indexing import Indexer
from nodes.rag.local import LocalRetriever
from nodes.rag.manifest import ManifestFile
from nodes.rag.models import Chunk
from nodes.rag.settings import LocalSource
from nodes.rag.source import Source
from nodes.rag.terms import terms

STAFF, BOARD = (Principal(name, frozenset({name})) for name in ("staff", "board"))
MANY, FEW = 5_000, 50


def chunk(source: str, n: int) -> Chunk:
    words = f"ledger entry of quarter {n} in {source}"
    return Chunk(f"{source}{n:06}", f"{source}/{n}.md", "", words, " ".join(terms(words)), 0, len(words), "")


@pytest.fixture(scope="module")
async def rag(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RAGClient]:
    """Two sources about the same things: 5,000 passages for the staff, and 50 for the board."""
    folder = tmp_path_factory.mktemp("rights")
    lance, sources = LanceFolder(folder / "index"), {}
    for name, count in (("staff", MANY), ("board", FEW)):
        store = LanceStore(lance, name)
        chunks = [chunk(name, n) for n in range(count)]
        await store.replace([c.document for c in chunks], chunks)
        await store.tidy()
        manifest = ManifestFile(folder / "index", name)
        indexer = Indexer(
            name, [str(folder)], store=store, manifest=manifest, chunk_tokens=40, max_file_bytes=10**6
        )
        entry = LocalSource(path=[str(folder)], groups=[name])
        sources[name] = Source(entry, LocalRetriever(name, store=store, min_score=0.0), indexer, store)
    yield RAGClient(sources, RagSettings())
    lance.close()


async def test_a_group_that_sees_one_of_a_hundred_passages_finds_every_one_of_them(rag: RAGClient) -> None:
    found = await rag.query("ledger entry quarter", sources=["board"], principal=BOARD, limit=50)
    assert {p.document for p in found.passages} == {f"board/{n}.md" for n in range(FEW)}


async def test_nobody_is_shown_what_is_for_another_group_or_told_that_it_is_there(rag: RAGClient) -> None:
    found = await rag.query("ledger entry quarter", sources=["staff"], principal=STAFF, limit=50)
    assert {p.source for p in found.passages} == {"staff"}
    assert [info.name for info in await rag.discover(STAFF)] == ["staff"]
    with pytest.raises(SourceNotFound):
        await rag.query("ledger", sources=["board"], principal=STAFF)
