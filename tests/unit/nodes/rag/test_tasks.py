"""Indexing in the background: by the task queue, or by the client itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from dishka import Provider, Scope, make_async_container, provide

from core.access import Principal
from core.settings import Book
from core.settings.book import Editions
from core.task_queue import TaskQueue, TaskStatus
from nodes.rag import RAGClient, RagSettings, Source, SourcesFile
from nodes.rag.errors import SourceUnavailable
from nodes.rag.fake import FakeRetriever, MemoryStore
from nodes.rag.indexing import Indexer
from nodes.rag.local import LocalRetriever
from nodes.rag.manifest import ManifestFile
from nodes.rag.settings import HttpSource, LocalSource
from nodes.rag.tasks import INDEX, TASKS
from nodes.rag.upkeep import IndexTasks
from nodes.rag.vectors import VectorFiller
from tests.kit.task_queues import eventually, opened_queue
from tests.unit.nodes.rag.corpus import HANDBOOK, write

ADA = Principal("ada")


class Constant:
    """Finds every text alike."""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [[1.0, 0.0] for _ in texts]


def embedded(source: Source, name: str, lock: Path) -> Source:
    """The same source, with vectors beside its words."""
    assert isinstance(source.store, MemoryStore)
    vectors = VectorFiller(name, store=source.store, embedder=Constant(), lock=lock)
    return replace(source, vectors=vectors)


def local(folder: Path, name: str, *, root: Path | None = None, store: MemoryStore | None = None) -> Source:
    """A local source over `folder/name`, with its index in memory."""
    store, root = store or MemoryStore(), root or folder / name
    manifest = ManifestFile(folder / "index", name)
    indexer = Indexer(
        name, [str(root)], store=store, manifest=manifest, chunk_tokens=200, max_file_bytes=100_000
    )
    retriever = LocalRetriever(name, store=store, min_score=0.3)
    return Source(LocalSource(path=[str(root)]), retriever, indexer, store)


class Given(Provider):
    scope = Scope.APP

    def __init__(self, client: RAGClient) -> None:
        super().__init__()
        self._client = client

    @provide
    def client(self) -> RAGClient:
        return self._client


class Desk:
    """A client over two local sources, and a queue whose tasks find it."""

    def __init__(
        self, folder: Path, settings: RagSettings | None = None, *, by_meaning: bool = False
    ) -> None:
        self.folder = folder
        write(folder / "docs")
        write(folder / "notes", {"a.md": "Kites fly on Mondays."})
        remote = Source(HttpSource(url="http://127.0.0.1:9"), FakeRetriever("remote", {}))
        sources = {name: local(folder, name) for name in ("docs", "notes")}
        if by_meaning:
            sources = {n: embedded(s, n, folder / "index" / f"{n}.vectors") for n, s in sources.items()}
        self.client = RAGClient({**sources, "remote": remote}, settings or RagSettings())
        self._stack = AsyncExitStack()
        self.queue: TaskQueue

    async def __aenter__(self) -> Desk:
        container = make_async_container(Given(self.client))
        self.queue = await self._stack.enter_async_context(
            opened_queue(self.folder, TASKS, container=container)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        await self.client.aclose()

    async def run(self, name: str, arguments: Mapping[str, Any]) -> Any:
        record = await self.queue.add(name, arguments, owner=ADA)
        return await self.queue.wait(record.id, 10)

    async def documents(self) -> dict[str, int]:
        return {one.source: one.files for one in await self.client.stats()}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with Desk(tmp_path) as desk:
        yield desk


async def test_a_task_indexes_one_source_and_tells_how_far_it_is(desk: Desk) -> None:
    record = await desk.run(INDEX, {"source": "docs"})
    assert (record.status, record.progress, record.total) == (TaskStatus.DONE, len(HANDBOOK), len(HANDBOOK))
    assert record.message == "files"
    assert await desk.documents() == {"docs": len(HANDBOOK), "notes": 0, "remote": 0}
    again = await desk.run(INDEX, {"source": "docs"})
    assert (again.status, again.progress) == (TaskStatus.DONE, None)


async def test_vectors_are_counted_by_themselves_behind_the_files(tmp_path: Path) -> None:
    async with Desk(tmp_path, by_meaning=True) as desk:
        record = await desk.run(INDEX, {"source": "docs"})
        [chunks] = [one.chunks for one in await desk.client.stats() if one.source == "docs"]
        assert (record.progress, record.total, record.message) == (chunks, chunks, "vectors")
        assert chunks > len(HANDBOOK)


@pytest.mark.parametrize(("source", "why"), [("nothere", "source_not_found"), ("remote", "not_ingestable")])
async def test_what_cannot_be_indexed_is_not_tried_again(desk: Desk, source: str, why: str) -> None:
    record = await desk.run(INDEX, {"source": source})
    assert (record.status, record.attempts) == (TaskStatus.FAILED, 1)
    assert record.error.startswith(why)


async def test_the_look_for_changed_files_brings_every_source_up_to_date(desk: Desk) -> None:
    assert (await desk.run("refresh_sources", {})).status is TaskStatus.DONE
    assert await desk.documents() == {"docs": len(HANDBOOK), "notes": 1, "remote": 0}
    write(desk.folder / "notes", {"b.md": "Boats sink."})
    await desk.run("refresh_sources", {})
    assert (await desk.documents())["notes"] == 2


async def test_the_look_for_changed_files_can_be_switched_off(tmp_path: Path) -> None:
    async with Desk(tmp_path, RagSettings(refresh=False)) as desk:
        assert (await desk.run("refresh_sources", {})).status is TaskStatus.DONE
        assert await desk.documents() == {"docs": 0, "notes": 0, "remote": 0}


class Queue:
    """Somebody else who indexes; `down` is an error that it has instead."""

    def __init__(self, *, down: Exception | None = None) -> None:
        self.asked: list[str] = []
        self._down = down

    async def index(self, source: str) -> bool:
        self.asked.append(source)
        if self._down:
            raise self._down
        return True


class Changing:
    """A client whose sources change with the edition of the configuration."""

    def __init__(self, folder: Path, later: Queue | None) -> None:
        self.folder = folder
        self.shown: dict[str, Source] = {}
        self._stack = AsyncExitStack()
        self._later = later
        self.client: RAGClient

    async def __aenter__(self) -> Changing:
        self.editions = await self._stack.enter_async_context(Editions.fixed(SourcesFile()))
        part = await self._stack.enter_async_context(self.editions.part("sources", self._sources))
        self.client = RAGClient(part, RagSettings(), later=self._later)
        self._stack.push_async_callback(self.client.aclose)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def show(self, **sources: Source) -> None:
        """Make these the sources."""
        self.shown = sources
        await self.editions.swap(self.editions.newest.book)

    async def _sources(self, _: Book, __: Mapping[str, Source] | None) -> Mapping[str, Source]:
        return dict(self.shown)

    async def files(self, name: str) -> int:
        return next(one.files for one in await self.client.stats() if one.source == name)


async def test_a_new_source_is_left_to_the_queue(tmp_path: Path) -> None:
    queue = Queue()
    write(tmp_path / "docs")
    async with Changing(tmp_path, queue) as world:
        docs = local(tmp_path, "docs")
        await world.show(docs=docs)
        async with asyncio.timeout(10):
            while not queue.asked:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.01)
        await world.show(docs=docs)
        assert queue.asked == ["docs"]
        assert await world.files("docs") == 0


@pytest.mark.parametrize("later", [None, Queue(down=OSError("no database"))])
async def test_where_nobody_takes_it_the_client_indexes_by_itself(
    tmp_path: Path, later: Queue | None
) -> None:
    write(tmp_path / "docs")
    with structlog.testing.capture_logs() as logs:
        async with Changing(tmp_path, later) as world:
            await world.show(docs=local(tmp_path, "docs"))

            async def indexed() -> bool:
                return await world.files("docs") == len(HANDBOOK)

            await eventually(indexed)
    queued = [line for line in logs if line["event"] == "indexing_not_queued"]
    assert len(queued) == (1 if later else 0)


async def test_a_source_that_changes_while_it_is_indexed_ends_up_as_it_is_now(tmp_path: Path) -> None:
    write(tmp_path / "old", {"a.md": "Kites fly on Mondays."})
    write(tmp_path / "new", {"b.md": "Boats sink on Tuesdays."})
    before, after = (local(tmp_path, "docs", root=tmp_path / root) for root in ("old", "new"))
    async with Changing(tmp_path, Queue()) as world:
        await world.show(docs=before)
        swapped: list[asyncio.Task[None]] = []

        def change(*_: object) -> None:
            if not swapped:
                swapped.append(asyncio.create_task(world.show(docs=after)))

        report = await world.client.ingest("docs", progress=change)
        await swapped[0]
        assert (report.files, report.removed) == (1, 1)


async def test_a_later_indexing_takes_the_place_of_an_earlier_one() -> None:
    background, began, ended = IndexTasks(), asyncio.Event(), asyncio.Event()

    async def first() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    background.begin("docs", first())
    await began.wait()
    done = asyncio.Event()

    async def second() -> None:
        done.set()

    background.begin("docs", second())
    async with asyncio.timeout(5):
        await ended.wait()
        await done.wait()
    await background.aclose()


async def test_an_embedder_that_is_away_has_the_task_tried_again(tmp_path: Path) -> None:
    class Away:
        async def embed(self, texts: Any) -> Any:
            raise SourceUnavailable("the embedder is away", retry_after=60)

    write(tmp_path / "docs")
    indexer = Indexer(
        "away",
        [str(tmp_path / "docs")],
        store=MemoryStore(),
        manifest=ManifestFile(tmp_path / "index", "away"),
        chunk_tokens=200,
        max_file_bytes=100_000,
        embedder=Away(),
    )
    source = Source(LocalSource(path=["x"]), FakeRetriever("away", {}), indexer)
    container = make_async_container(Given(RAGClient({"away": source}, RagSettings())))
    async with opened_queue(tmp_path, TASKS, container=container) as queue:
        record = await queue.add(INDEX, {"source": "away"}, owner=ADA)

        async def failed_once() -> bool:
            return bool((await queue.get(record.id)).error)

        await eventually(failed_once)
        found = await queue.get(record.id)
    assert (found.status, found.error) == (TaskStatus.QUEUED, "source_unavailable: the embedder is away")
