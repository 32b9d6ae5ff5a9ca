"""An index that is made anew beside the old one, and takes its place in one step."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from core.access import Principal
from nodes.rag import RAGClient, RagSettings
from nodes.rag.adapters.lance import LanceFolder, LanceStore
from nodes.rag.chunking import chunk_document
from nodes.rag.indexing import Indexer
from nodes.rag.local import LocalRetriever
from nodes.rag.manifest import IndexPlace, ManifestFile, PlacedStore
from nodes.rag.models import Progress
from nodes.rag.ports import VectorStore
from nodes.rag.rebuilding import Rebuilding
from nodes.rag.settings import LocalSource
from nodes.rag.source import Source
from nodes.rag.vectors import VectorFiller
from tests.kit.task_queues import eventually
from tests.unit.nodes.rag.corpus import write

ADA = Principal("ada")
WORDS = ("alpaca", "badger", "camel", "dolphin", "eagle", "falcon")


class Counting:
    """Vectors of one number, and every text that one was made for."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.texts += texts
        return [[float(len(text)), 1.0] for text in texts]


class House:
    """One source over `folder/docs`, its index in LanceDB with vectors beside the words."""

    def __init__(self, folder: Path, *, chunk_tokens: int = 40) -> None:
        self.embedder = Counting()
        self.place = IndexPlace(folder / "index", "docs")
        self.store = PlacedStore(self.place, self._opened)
        root = str(folder / "docs")
        self.indexer = Indexer(
            "docs",
            [root],
            store=self.store,
            manifest=ManifestFile(folder / "index", "docs"),
            chunk_tokens=chunk_tokens,
            max_file_bytes=10**6,
            rebuilding=Rebuilding(self.store, fill=self._fill).run,
        )
        retriever = LocalRetriever("docs", store=self.store, min_score=0.0)
        source = Source(LocalSource(path=[root]), retriever, self.indexer, self.store)
        self.rag = RAGClient({"docs": source}, RagSettings())

    def _opened(self, folder: Path) -> tuple[VectorStore, Callable[[], None]]:
        lance = LanceFolder(folder)
        return LanceStore(lance, "docs", model="m1"), lance.close

    async def _fill(self, store: VectorStore, folder: Path, progress: Progress | None) -> None:
        await VectorFiller("docs", store=store, embedder=self.embedder, lock=folder / "lock").fill(progress)

    async def find(self, word: str) -> set[str]:
        found = await self.rag.query(f"{word}?", sources=["docs"], principal=ADA)
        return {passage.document for passage in found.passages}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    write(tmp_path / "docs", {f"{word}.md": f"The {word} lives here." for word in WORDS})
    made = House(tmp_path)
    yield made
    made.store.close()


async def test_queries_go_on_from_the_old_index_until_all_of_the_new_one_is_there(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.rag.ingest("docs")
    before, seen = house.place.now(), []
    monkeypatch.setattr("nodes.rag.writing.BATCH_FILES", 1)
    done = asyncio.Event()

    async def searching() -> None:
        while not done.is_set():
            for word in WORDS:
                assert await house.find(word) == {f"{word}.md"}
                seen.append(house.place.now())

    task = asyncio.create_task(searching())
    report = await house.rag.ingest("docs", anew=True)
    await house.find("eagle")
    done.set()
    await task
    assert (report.changed, report.files) == (len(WORDS), len(WORDS))
    assert set(seen[:-1]) <= {before, house.place.now()}
    assert house.place.now() != before
    assert sorted(seen, key=lambda folder: folder != before) == seen  # one switch, and never back
    assert (await house.rag.ingest("docs")).changed == 0


async def test_vectors_of_texts_that_did_not_change_are_not_made_again(house: House) -> None:
    await house.rag.ingest("docs")
    await house.rag.ingest("docs", anew=True)
    made = len(house.embedder.texts)
    assert made == 2 * len(WORDS)
    await house.rag.ingest("docs", anew=True)
    assert len(house.embedder.texts) == made
    assert await house.store.reconcile() == []


async def test_one_that_fails_half_way_leaves_the_old_one_and_nothing_beside_it(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await house.rag.ingest("docs")
    monkeypatch.setattr("nodes.rag.writing.BATCH_FILES", 1)
    made: list[str] = []

    def chunk(document: str, *given: object, **more: object) -> object:
        made.append(document)
        if len(made) > 2:
            raise OSError("the power went")
        return chunk_document(document, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("nodes.rag.indexing.chunk_document", chunk)
    with pytest.raises(OSError, match="power"):
        await house.rag.ingest("docs", anew=True)
    assert house.place.now() == tmp_path / "index"
    assert list((tmp_path / "index" / "docs.builds").iterdir()) == []
    for word in WORDS:
        assert await house.find(word) == {f"{word}.md"}


async def test_what_a_killed_one_left_goes_with_the_next(house: House) -> None:
    await house.rag.ingest("docs")
    left = house.place.new()
    (left / "half").write_text("x")
    await house.rag.ingest("docs", anew=True)
    assert not left.exists()


async def test_an_index_that_was_made_in_another_way_is_made_anew_by_itself(
    house: House, tmp_path: Path
) -> None:
    await house.rag.ingest("docs")
    other = House(tmp_path, chunk_tokens=80)
    assert await other.indexer.outdated()
    await other.rag.prepare(behind=True)  # the start goes on meanwhile
    assert await other.find("eagle") == {"eagle.md"}

    async def switched() -> bool:
        return other.place.now() != tmp_path / "index"

    await eventually(switched)
    assert not await other.indexer.outdated()
    assert await other.find("eagle") == {"eagle.md"}
    await other.rag.aclose()
    other.store.close()


async def test_other_stems_make_an_index_anew_beside_the_old_one(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.rag.ingest("docs")
    before = house.place.now()
    assert (await House(tmp_path).rag.ingest("docs")).changed == 0
    monkeypatch.setattr("nodes.rag.indexing.stems_of", lambda: "2.2")
    other = House(tmp_path)
    assert (await other.rag.ingest("docs")).changed == len(WORDS)
    assert other.place.now() != before
    assert await other.find("camel") == {"camel.md"}
    assert (await other.rag.ingest("docs")).changed == 0
    other.store.close()


async def test_documents_of_a_folder_that_is_gone_are_kept_where_they_are(
    house: House, tmp_path: Path
) -> None:
    write(tmp_path / "disk", {"whale.md": "The whale swims."})
    await house.rag.ingest("docs", path=tmp_path / "disk")
    os.rename(tmp_path / "disk", tmp_path / "away")
    await house.rag.ingest("docs", anew=True)
    assert house.place.now() == tmp_path / "index"
    assert await house.find("whale") == {"whale.md"}


async def test_what_was_added_by_hand_is_in_the_new_index_too(house: House, tmp_path: Path) -> None:
    write(tmp_path / "more", {"whale.md": "The whale swims."})
    await house.rag.ingest("docs", path=tmp_path / "more")
    report = await house.rag.ingest("docs", anew=True)
    assert report.files == len(WORDS) + 1
    assert str(tmp_path / "more") in house.indexer.roots()


async def test_a_search_ends_in_the_index_that_it_began_in(house: House, tmp_path: Path) -> None:
    await house.rag.ingest("docs")
    with house.store.pinned():
        await house.rag.ingest("docs", anew=True)
        assert house.store.edition() == str(tmp_path / "index")
        assert await house.store.size() == len(WORDS)
    assert house.store.edition() == str(house.place.now()) != str(tmp_path / "index")


async def test_what_was_searched_before_goes_when_nobody_can_be_at_it(house: House, tmp_path: Path) -> None:
    await house.rag.ingest("docs")
    await house.rag.ingest("docs", anew=True)
    first = house.place.now()
    assert (tmp_path / "index" / "docs.lance").is_dir()
    await house.rag.ingest("docs", anew=True)
    house.place.sweep(kept_s=0)
    assert not first.exists()
    assert not (tmp_path / "index" / "docs.lance").exists()
    assert await house.find("eagle") == {"eagle.md"}


async def test_a_place_that_names_what_is_not_there_is_the_folder_of_all(tmp_path: Path) -> None:
    place = IndexPlace(tmp_path, "docs")
    for named in ("gone", "../../etc", ""):
        (tmp_path / "docs.place").write_text(named)
        assert IndexPlace(tmp_path, "docs").now() == tmp_path
    folder = place.new()
    place.take(folder)
    assert place.now() == folder
