from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from nodes.rag.adapters.lance import LanceFolder, LanceStore
from nodes.rag.errors import IndexBusy
from nodes.rag.fake import MemoryStore
from nodes.rag.indexing import Indexer
from nodes.rag.local import LocalRetriever
from nodes.rag.manifest import ManifestFile, index_name
from nodes.rag.models import Chunk
from nodes.rag.ports import ChunkStore
from tests.unit.nodes.rag.corpus import HANDBOOK, write


class RecordingStore(MemoryStore):
    """A memory store that remembers which documents were written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    async def replace(
        self,
        documents: Sequence[str],
        chunks: Sequence[Chunk],
        vectors: Sequence[Sequence[float]] | None = None,
    ) -> None:
        self.written += documents
        await super().replace(documents, chunks, vectors)


class Killed(BaseException):
    """Stands for a process that dies."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "handbook")


@pytest.fixture
def store() -> RecordingStore:
    return RecordingStore()


def indexer(
    store: ChunkStore, root: Path, *, chunk_tokens: int = 200, max_file_bytes: int = 10_000
) -> Indexer:
    manifest = ManifestFile(root.parent / "index", "handbook")
    return Indexer(
        "handbook",
        [str(root)],
        store=store,
        manifest=manifest,
        chunk_tokens=chunk_tokens,
        max_file_bytes=max_file_bytes,
    )


async def test_the_first_update_indexes_everything_and_the_second_nothing(
    store: RecordingStore, root: Path
) -> None:
    first = await indexer(store, root).update()
    assert (first.files, first.changed, first.removed) == (len(HANDBOOK), len(HANDBOOK), 0)
    assert first.chunks == sum(map(len, store.chunks.values())) > 0
    store.written.clear()
    second = await indexer(store, root).update()
    assert (second.files, second.changed, second.chunks) == (first.files, 0, first.chunks)
    assert store.written == []


async def test_only_what_changed_is_indexed_again(store: RecordingStore, root: Path) -> None:
    await indexer(store, root).update()
    store.written.clear()
    (root / "faq.txt").write_text("Backups moved to the cellar.")
    (root / "new.md").write_text("# New\n\nA new page.")
    (root / "limits.md").unlink()
    report = await indexer(store, root).update()
    assert (report.changed, report.removed) == (2, 1)
    assert sorted(store.written) == ["faq.txt", "limits.md", "new.md"]
    assert store.chunks["faq.txt"][0].text == "Backups moved to the cellar."
    assert "limits.md" not in store.chunks


async def test_a_file_that_was_only_touched_is_not_indexed_again(store: RecordingStore, root: Path) -> None:
    await indexer(store, root).update()
    store.written.clear()
    os.utime(root / "faq.txt", ns=(0, time.time_ns() + 10**9))
    assert (await indexer(store, root).update()).changed == 0
    assert store.written == []


async def test_a_change_within_the_same_time_stamp_is_seen(store: RecordingStore, root: Path) -> None:
    path = root / "faq.txt"
    before = path.stat()
    await indexer(store, root).update()
    path.write_text(path.read_text().replace("night", "month"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (await indexer(store, root).update()).changed == 1


async def test_old_files_are_not_even_opened(store: RecordingStore, root: Path) -> None:
    for path in root.rglob("*.*"):
        os.utime(path, ns=(0, 10**18))
    await indexer(store, root).update()
    # Same size and time, other content: only a look inside could tell, and there is none.
    path = root / "faq.txt"
    path.write_bytes(b"x" * path.stat().st_size)
    os.utime(path, ns=(0, 10**18))
    assert (await indexer(store, root).update()).changed == 0


async def test_another_chunk_size_indexes_everything_again(store: RecordingStore, root: Path) -> None:
    before = await indexer(store, root).update()
    after = await indexer(store, root, chunk_tokens=20).update()
    assert after.changed == len(HANDBOOK)
    assert after.chunks > before.chunks


async def test_what_is_no_text_is_counted_with_its_reason(store: RecordingStore, root: Path) -> None:
    (root / "broken.txt").write_bytes(b"a\0b")
    (root / "large.md").write_bytes(b"x" * 10_001)
    (root / "photo.jpg").write_bytes(b"\xff\xd8")
    for _ in range(2):  # the second run knows it from the manifest
        report = await indexer(store, root).update()
        assert report.skipped == {
            "broken.txt": "it is a binary file",
            "large.md": "it is larger than 10000 bytes",
        }
        assert (report.ignored, report.files) == (1, len(HANDBOOK))
    assert report.changed == 0


async def test_progress_names_each_file_and_ends_full(store: RecordingStore, root: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    await indexer(store, root).update(progress=lambda *step: seen.append(step))
    total = len(HANDBOOK)
    assert [done for done, _, _ in seen] == list(range(total + 1))
    assert {name for _, _, name in seen} == {*HANDBOOK, ""}
    seen.clear()
    await indexer(store, root).update(progress=lambda *step: seen.append(step))
    assert seen == []


async def test_a_folder_that_went_away_keeps_its_index_and_is_reported(
    store: RecordingStore, root: Path
) -> None:
    before = await indexer(store, root).update()
    root.rename(root.with_name("unmounted"))
    report = await indexer(store, root).update()
    assert report.problems == ("'handbook' is not there",)
    assert (report.files, report.removed) == (before.files, 0)


async def test_an_added_path_stays_through_later_updates(store: RecordingStore, root: Path) -> None:
    extra = root.parent / "extra.txt"
    extra.write_text("Kites are flown on Mondays.")
    await indexer(store, root).update(add=str(extra))
    await indexer(store, root).update(add=str(extra))
    report = await indexer(store, root).update()
    assert (report.files, report.removed) == (len(HANDBOOK) + 1, 0)
    extra.unlink()
    report = await indexer(store, root).update()
    assert (report.files, report.problems) == (len(HANDBOOK) + 1, ())


async def test_an_update_that_dies_anywhere_is_made_good_by_the_next(tmp_path: Path) -> None:
    documents = {f"d{i:03}.txt": f"Document number{i}x speaks of kites." for i in range(70)}
    root = write(tmp_path / "many", documents)
    folder = LanceFolder(tmp_path / "index")
    for at in (0, 1, 65, 70):
        store = LanceStore(folder, "handbook")

        def die(done: int, total: int, name: str, at: int = at) -> None:
            if done >= min(at, total):
                raise Killed

        with pytest.raises(Killed):
            await indexer(store, root).update(progress=die)
        write(root, {"d000.txt": f"Changed at number{at}x about kites."})
    store = LanceStore(folder, "handbook")
    report = await indexer(store, root).update()
    assert (report.files, report.chunks) == (70, 70)
    assert (await store.check(expected=70)).details["chunks"] == 70
    found = await LocalRetriever("handbook", store=store, min_score=0.3).search(
        "kites number70x", limit=50, as_user="ada"
    )
    assert found[0].document == "d000.txt"
    assert len({p.document for p in found}) == len(found)
    folder.close()


async def test_a_lost_or_broken_manifest_only_costs_work(store: RecordingStore, root: Path) -> None:
    before = await indexer(store, root).update()
    for content in (b"{", b"[]", b'{"version": 0}', b'{"version": 1, "files": {"a": {}}, "added": []}'):
        (root.parent / "index" / "handbook.manifest.json").write_bytes(content)
        report = await indexer(store, root).update()
        assert (report.files, report.chunks) == (before.files, before.chunks)


async def test_two_updates_at_once_wait_for_each_other(store: RecordingStore, root: Path) -> None:
    reports = await asyncio.gather(*(indexer(store, root).update() for _ in range(4)))
    assert sorted(r.changed for r in reports) == [0, 0, 0, len(HANDBOOK)]


async def test_a_lock_that_is_never_given_back_is_an_error(tmp_path: Path) -> None:
    manifest = ManifestFile(tmp_path, "x")
    async with manifest.locked():
        with pytest.raises(IndexBusy, match="another process"):
            async with manifest.locked(seconds=0.1):
                pytest.fail("the lock was given twice")
    async with manifest.locked(seconds=0.1):
        pass


def test_indexes_have_names_that_a_file_may_have() -> None:
    assert index_name("Hand/../book", "").startswith("hand-book-")
    assert index_name("a", "") != index_name("a", "other embedder")
    assert index_name("...", "").startswith("source-")


async def test_stats_come_from_the_manifest(store: RecordingStore, root: Path) -> None:
    assert indexer(store, root).stats().files == 0
    report = await indexer(store, root).update()
    stats = indexer(store, root).stats()
    assert (stats.files, stats.chunks, stats.skipped) == (report.files, report.chunks, 0)
    assert stats.size_bytes == sum(len(text.encode()) for text in HANDBOOK.values())
