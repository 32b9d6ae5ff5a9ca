"""Files that change while the service runs are found without a command."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from core.access import Principal
from nodes.rag import RAGClient, RagSettings, Source, upkeep
from nodes.rag import client as client_module
from nodes.rag.adapters.lance import MISSING, LanceFolder, LanceStore
from nodes.rag.errors import IndexBroken
from nodes.rag.fake import MemoryStore
from nodes.rag.indexing import Indexer
from nodes.rag.local import LocalRetriever
from nodes.rag.manifest import ManifestFile
from nodes.rag.models import IngestReport
from nodes.rag.settings import LocalSource
from nodes.rag.upkeep import FileWatcher, watched

pytestmark = pytest.mark.slow

ADA = Principal("ada")
PATIENCE_S = 20.0


class Desk:
    """A client that watches one source in a real index."""

    def __init__(self, folder: Path, *paths: str) -> None:
        self.root = folder / "docs"
        self.root.mkdir()
        self.lance = LanceFolder(folder / "index")
        store = LanceStore(self.lance, "docs")
        roots = [str(self.root / path) for path in paths]
        manifest = ManifestFile(folder / "index", "docs")
        self.indexer = Indexer(
            "docs", roots, store=store, manifest=manifest, chunk_tokens=200, max_file_bytes=100_000
        )
        retriever = LocalRetriever(
            "docs", store=store, min_score=0.35, languages=self.indexer.manifest.languages
        )
        source = Source(LocalSource(path=roots), retriever, self.indexer, store)
        self.client = RAGClient({"docs": source}, RagSettings())

    async def found(self, text: str) -> set[str]:
        answer = await self.client.query(text, sources=["docs"], principal=ADA)
        return {passage.document for passage in answer.passages}

    async def until(self, text: str, documents: set[str]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self.found(text) != documents:  # noqa: ASYNC110 - another task changes it
                await asyncio.sleep(0.05)


@pytest.fixture(params=["events", "looking"])
async def desk(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Desk]:
    monkeypatch.setattr(client_module, "WARM_AFTER_SECONDS", 0.0)
    if request.param == "events":
        # Only the file system's word, so that a look by the clock cannot stand in for it.
        monkeypatch.setattr("nodes.rag.upkeep.LOOK_SECONDS", 60.0)
    else:
        monkeypatch.setattr("nodes.rag.upkeep.LOOK_SECONDS", 0.2)
        monkeypatch.setattr(FileWatcher, "_listen", _deaf)
    made = Desk(tmp_path, "")
    (made.root / "a.md").write_text("Kites fly on Mondays.")
    await made.client.prepare()
    made.client.watch_soon()
    yield made
    await made.client.aclose()
    made.lance.close()


async def _deaf(self: FileWatcher, *, deep: bool) -> None:
    """A drive that tells nobody what changes."""


def _change(root: Path) -> None:
    (root / "a.md").write_text("Boats sink on Tuesdays.")


def _replace(root: Path) -> None:
    draft = root / ".a.md.draft"
    draft.write_text("Boats sink on Tuesdays.")
    draft.replace(root / "a.md")


@pytest.mark.parametrize("change", [_change, _replace])
async def test_rd4_a_changed_file_is_found_by_what_it_says_now(
    desk: Desk, change: Callable[[Path], None]
) -> None:
    assert await desk.found("kites") == {"a.md"}
    change(desk.root)
    await desk.until("boats", {"a.md"})
    assert await desk.found("kites") == set()


async def test_rd4_files_that_come_go_and_are_renamed_are_taken_over(desk: Desk) -> None:
    (desk.root / "deep" / "er").mkdir(parents=True)
    (desk.root / "deep" / "er" / "b.md").write_text("Zebras graze.")
    await desk.until("zebras", {"deep/er/b.md"})
    (desk.root / "deep").rename(desk.root / "moved")
    await desk.until("zebras", {"moved/er/b.md"})
    shutil.rmtree(desk.root / "moved")
    await desk.until("zebras", set())
    (desk.root / "a.md").rename(desk.root / "c.md")
    await desk.until("kites", {"c.md"})


async def test_rd4_where_rag_refresh_is_off_nothing_is_watched(tmp_path: Path) -> None:
    rag = RAGClient({}, RagSettings(refresh=False))
    rag.watch_soon()
    assert rag._watching is None


async def test_a_look_costs_nothing_where_nothing_changed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "*.md")
    assert await desk.indexer.stale()
    await desk.client.prepare()
    assert not await desk.indexer.stale()
    (desk.root / "a.md").write_text("Kites.")
    # Long ago: a file that has just changed is read once more.
    os.utime(desk.root / "a.md", (10**9, 10**9))
    assert await desk.indexer.stale()
    await desk.client.prepare()
    assert not await desk.indexer.stale()
    (desk.root / "b.txt").write_text("not of the source")
    assert not await desk.indexer.stale()
    (desk.root / "a.md").unlink()
    assert await desk.indexer.stale()
    desk.lance.close()


async def test_one_bad_look_is_not_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path, "")
    looked = asyncio.Event()
    calls: list[str] = []

    async def update() -> None:
        calls.append("docs")
        if len(calls) > 1:
            looked.set()
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(desk.indexer, "update", update)
    watching = FileWatcher(lambda: {"docs": desk.indexer})
    (desk.root / "a.md").write_text("Kites.")
    task = asyncio.create_task(watching.run())
    await asyncio.sleep(0)
    watching._news.set()
    async with asyncio.timeout(PATIENCE_S):
        await looked.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    desk.lance.close()


async def test_what_keeps_a_source_from_being_looked_at_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path, "")
    reasons = iter(["gone", "gone", "", "gone", "full"])

    async def stale() -> bool:
        if reason := next(reasons):
            raise IndexBroken(reason)
        return False

    monkeypatch.setattr(desk.indexer, "stale", stale)
    watching = FileWatcher(lambda: {"docs": desk.indexer})
    with capture_logs() as said:
        for _ in range(5):
            await watching._look("docs", desk.indexer)
    assert [line["reason"] for line in said] == ["gone", "gone", "full"]
    desk.lance.close()


async def test_a_source_whose_extra_is_missing_is_not_just_not_indexed_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path, "")
    answer = await desk.client.query("kites", sources=["docs"], principal=ADA)
    assert [reason for _, reason in answer.failed] == ["it is not indexed yet"]
    monkeypatch.setattr("nodes.rag.adapters.lance.find_spec", lambda name: None)
    answer = await desk.client.query("kites", sources=["docs"], principal=ADA)
    assert [reason for _, reason in answer.failed] == [MISSING]
    desk.lance.close()


def test_what_is_watched_is_no_more_than_needed(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    assert watched(str(tmp_path / "docs")) == (tmp_path / "docs", True)
    assert watched(str(tmp_path / "docs" / "a.md")) == (tmp_path / "docs", False)
    assert watched(str(tmp_path / "docs" / "*.md")) == (tmp_path / "docs", False)
    assert watched(str(tmp_path / "docs" / "**" / "*.md")) == (tmp_path / "docs", True)


def test_what_the_service_writes_into_its_home_wakes_nobody(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "notes").mkdir(parents=True)
    sizes: Any = {"store": MemoryStore(), "chunk_tokens": 9, "max_file_bytes": 9}
    around = Indexer("a", [str(tmp_path)], manifest=ManifestFile(home / "index", "a"), **sizes)
    within = Indexer("b", [str(home / "notes")], manifest=ManifestFile(home / "index", "b"), **sizes)
    paths = [tmp_path / "a.md", home / "waystation.db-wal", home / "notes" / "b.md"]
    matters = FileWatcher(lambda: {"a": around})._matters
    assert [matters(path) for path in paths] == [True, False, False]
    matters = FileWatcher(lambda: {"a": around, "b": within})._matters
    assert [matters(path) for path in paths] == [True, False, True]
    home_itself = Indexer("c", [str(home)], manifest=ManifestFile(home / "index", "c"), **sizes)
    matters = FileWatcher(lambda: {"c": home_itself})._matters
    assert [matters(path) for path in paths] == [False, False, True]


class Clock:
    """Time that passes when somebody says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("look_s", "index_s", "pause"), [(0.02, 90.0, 3.0), (2.0, 90.0, 100.0), (2.0, 0.0, 100.0)]
)
async def test_how_long_indexing_takes_does_not_make_looks_seldom(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, look_s: float, index_s: float, pause: float
) -> None:
    clock = Clock()

    class Slow(Indexer):
        async def stale(self) -> bool:
            clock.now += look_s
            return bool(index_s)

        async def update(self, **_: object) -> IngestReport:
            clock.now += index_s
            return IngestReport("docs")

    monkeypatch.setattr(upkeep, "time", clock)
    manifest = ManifestFile(tmp_path, "docs")
    slow = Slow("docs", [], store=MemoryStore(), manifest=manifest, chunk_tokens=9, max_file_bytes=9)
    assert await FileWatcher(lambda: {"docs": slow}).look() == pause
