"""An index that is made anew while it is searched."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from core.access import Principal
from nodes.rag import RAGClient, RagSettings
from nodes.rag.chunking import chunk_document
from tests.unit.nodes.rag.corpus import write
from tests.unit.nodes.rag.test_tasks import local

ADA = Principal("ada")
WORDS = ("alpaca", "badger", "camel", "dolphin", "eagle", "falcon")


async def test_every_document_is_found_all_the_time_and_every_file_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "docs", {f"{word}.md": f"The {word} lives here." for word in WORDS})
    rag = RAGClient({"docs": local(tmp_path, "docs")}, RagSettings())
    await rag.prepare()
    monkeypatch.setattr("nodes.rag.writing.BATCH_FILES", 1)  # a step for each document
    seen: list[set[str]] = []
    done = asyncio.Event()

    async def searching() -> None:
        while not done.is_set():
            for word in WORDS:
                found = await rag.query(f"{word}?", sources=["docs"], principal=ADA)
                seen.append({passage.document for passage in found.passages} & {f"{word}.md"})

    task = asyncio.create_task(searching())
    report = await rag.ingest("docs", anew=True)
    done.set()
    await task
    assert (report.changed, report.files, report.chunks) == (len(WORDS), len(WORDS), len(WORDS))
    assert len(seen) >= len(WORDS)
    assert all(seen)
    assert (await rag.ingest("docs")).changed == 0


async def test_one_that_was_interrupted_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "docs", {f"{word}.md": f"The {word} lives here." for word in WORDS})
    rag = RAGClient({"docs": local(tmp_path, "docs")}, RagSettings())
    await rag.prepare()
    monkeypatch.setattr("nodes.rag.writing.BATCH_FILES", 1)
    made: list[str] = []

    def chunk(document: str, *given: object, **more: object) -> object:
        made.append(document)
        if len(made) > 2:
            raise OSError("the power went")
        return chunk_document(document, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("nodes.rag.indexing.chunk_document", chunk)
    with pytest.raises(OSError, match="power"):
        await rag.ingest("docs", anew=True)
    (stats,) = await rag.stats()
    assert (stats.files, stats.chunks) == (len(WORDS), len(WORDS))
    for word in WORDS:
        found = await rag.query(f"{word}?", sources=["docs"], principal=ADA)
        assert found.passages[0].document == f"{word}.md"
