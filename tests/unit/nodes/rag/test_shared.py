"""One home writes an index into a bucket, others search what it published."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from core.access import Principal
from core.container import opened_service
from core.health import HealthState
from core.objects import Objects
from core.resilience import Policies, ResilienceSettings
from nodes.file_storage.adapters.s3_bucket import Bucket
from nodes.file_storage.adapters.s3_objects import S3Objects
from nodes.rag import RAGClient, RAGResponse
from nodes.rag.adapters.bundled import BundledEmbedder, installed
from nodes.rag.errors import IndexBroken, IndexWrittenElsewhere
from nodes.rag.manifest import index_name
from nodes.rag.module import MODULE
from nodes.rag.shared import publishing
from nodes.rag.shared.generation import POINTER, WRITER, read_generation
from nodes.rag.shared.index import NOT_YET
from tests.unit.nodes.rag.corpus import HANDBOOK, write
from waystation.testing.agents import context_at
from waystation.testing.s3 import ACCESS_KEY, SECRET_KEY, S3Server

pytestmark = pytest.mark.slow

ADA, HR = Principal("ada"), Principal("hal", frozenset({"hr"}))
QUESTIONS = ("Where are backups kept?", "Which port does it listen on?", "how large may an upload be", "zzz")
SOURCE = """docs:
  type: local
  path: {path}
  access:
    rules: [{{path: "guides/**", groups: [hr]}}]
"""


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as made:
        yield made


class Homes:
    """Homes that share the index of one source, in a bucket of a test's own."""

    def __init__(self, folder: Path, server: S3Server, stack: AsyncExitStack) -> None:
        self.folder, self._server, self._stack = folder, server, stack
        self.bucket = f"b-{hashlib.sha256(str(folder).encode()).hexdigest()[:20]}"
        self.docs = folder / "docs"
        settings = server.settings(self.bucket)
        self.whole = S3Objects(Bucket(settings, Policies(ResilienceSettings())), "team")
        stack.callback(self.whole.close)

    @property
    def objects(self) -> Objects:
        return self.whole.below(index_name("docs", ""))

    async def home(
        self, name: str, role: str = "write", *, search: str = "", bucket: str = "", source: str = SOURCE
    ) -> RAGClient:
        """A client as a process on the home `name` has it; only the first has the documents."""
        docs = self.docs if name == "first" else self.folder / f"{name}-docs"
        docs.mkdir(exist_ok=True)
        context = context_at(
            self.folder / name,
            files={"sources.yaml": source.format(path=docs)},
            rag={
                "index": f"s3://{bucket or self.bucket}/team/",
                "index_role": role,
                "search": search or ("words" if source is SOURCE else "both"),
            },
            file_storage={
                "s3": {
                    "endpoint_url": self._server.settings("x").endpoint_url,
                    "access_key_id": ACCESS_KEY,
                    "secret_access_key": SECRET_KEY,
                    "create_bucket": not bucket,
                }
            },
        )
        # A home that was there before may have another entry now.
        write(self.folder / name / "config", {"sources.yaml": source.format(path=docs)})
        client, _ = await self._stack.enter_async_context(opened_service(MODULE, RAGClient, context))
        return client

    async def pointer(self) -> int:
        found = await self.objects.read(POINTER)
        return read_generation(found.content).number if found else 0


@pytest.fixture
async def homes(tmp_path: Path, server: S3Server) -> AsyncIterator[Homes]:
    async with AsyncExitStack() as stack:
        made = Homes(tmp_path, server, stack)
        write(made.docs)
        yield made


async def ask(rag: RAGClient, text: str, who: Principal = ADA) -> RAGResponse:
    return await rag.query(text, sources=["docs"], principal=who)


@pytest.mark.always
async def test_readers_find_quote_and_open_what_the_writer_indexed(homes: Homes) -> None:
    writer = await homes.home("first")
    await writer.ingest("docs")
    readers = [await homes.home(name, "read") for name in ("second", "third")]
    for reader in readers:
        await reader.prepare()
        for text in QUESTIONS:
            for who in (ADA, HR):
                assert await ask(reader, text, who) == await ask(writer, text, who)
        assert await reader.documents("docs", principal=HR) == await writer.documents("docs", principal=HR)
        assert await reader.chunks("docs", "faq.txt", principal=ADA) == await writer.chunks(
            "docs", "faq.txt", principal=ADA
        )
        assert await reader.chunks("docs", "guides/tools.md", principal=ADA) == []
        assert await reader.chunks("docs", "guides/tools.md", principal=HR) != []
    assert (await ask(readers[0], QUESTIONS[0])).passages


async def test_a_reader_says_that_nothing_has_been_published_yet(homes: Homes) -> None:
    reader = await homes.home("second", "read")
    await reader.prepare()
    health = await reader.check()
    assert health.state is not HealthState.HEALTHY
    assert NOT_YET in health.reason
    assert (await ask(reader, QUESTIONS[0])).failed == (("docs", NOT_YET),)


async def test_role_generation_and_age_are_told(homes: Homes) -> None:
    writer, reader = await homes.home("first"), await homes.home("second")
    await writer.ingest("docs")
    await reader.prepare()
    for client, role in ((writer, "writes"), (reader, "reads")):
        (stats,) = await client.stats()
        assert stats.index is not None
        assert (stats.index["role"], stats.index["generation"]) == (role, 1)
        assert f"{role} generation 1: " in stats.summary()
        details = (await client.check()).details["sources"]["docs"]["details"]["index"]
        assert (details["role"], details["generation"]) == (role, 1)
        (info,) = await client.discover(ADA)
        assert info.index is not None
        assert set(info.index) == {"role", "generation", "age_s"}
        assert info.index["age_s"] < 60


async def test_who_comes_second_reads_and_says_who_writes(homes: Homes) -> None:
    writer, other = await homes.home("first"), await homes.home("second")
    await writer.ingest("docs")
    with pytest.raises(IndexWrittenElsewhere, match="is written by"):
        await other.ingest("docs")
    assert await homes.pointer() == 1
    assert (await ask(other, QUESTIONS[0])).passages  # it has fetched what the first one published


async def test_the_next_takes_over_where_the_writer_gave_up_and_goes_on_from_what_it_published(
    homes: Homes,
) -> None:
    writer, other = await homes.home("first"), await homes.home("second")
    await writer.prepare()
    await writer.sharing.once()
    await other.prepare()
    other.sharing.soon()
    writer.sharing.soon()
    await writer.sharing.aclose()
    write(homes.folder / "second-docs", {"new.md": "The walrus is new here."})
    assert await other.sharing.of("docs")
    report = await other.ingest("docs")
    assert (report.changed, report.files) == (1, 1)  # its own folder is what counts now
    assert await homes.pointer() == 2
    await writer.sharing.once()
    assert [p.document for p in (await ask(writer, "walrus")).passages] == ["new.md"]
    await other.sharing.aclose()


async def test_a_writer_that_was_passed_over_cannot_publish(homes: Homes) -> None:
    writer, other = await homes.home("first"), await homes.home("second")
    await writer.ingest("docs")
    await homes.objects.delete([WRITER])  # as if it had said nothing for long
    write(homes.folder / "second-docs", {"new.md": "The walrus is new here."})
    await other.ingest("docs")
    write(homes.docs, {"late.md": "The zebra is late."})
    with pytest.raises(IndexWrittenElsewhere):
        await writer.ingest("docs")
    assert await homes.pointer() == 2
    assert [p.document for p in (await ask(writer, "walrus")).passages] == ["new.md"]


async def test_a_reader_fetches_only_what_is_new_and_switches_while_it_is_asked(homes: Homes) -> None:
    writer, reader = await homes.home("first"), await homes.home("second", "read")
    await writer.ingest("docs")
    await reader.prepare()
    fetched: list[str] = []
    seen: list[bool] = []
    done = asyncio.Event()

    async def asking() -> None:
        while not done.is_set():
            assert (await ask(reader, QUESTIONS[0])).passages
            seen.append(bool((await ask(reader, "walrus")).passages))

    task = asyncio.create_task(asking())
    write(homes.docs, {"walrus.md": "The walrus is new here."})
    await writer.ingest("docs")

    def hook(environ: Any) -> None:
        if environ["REQUEST_METHOD"] == "GET" and "/files/" in environ["PATH_INFO"]:
            fetched.append(environ["PATH_INFO"])

    homes._server._app.hook = hook
    await reader.sharing.once()
    homes._server._app.hook = None
    assert (await ask(reader, "walrus")).passages
    done.set()
    await task
    assert sorted(seen) == seen  # once there, it stays
    listed = await homes.objects.ages("files/")
    assert 0 < len(fetched) < len(listed)
    (stats,) = await reader.stats()
    assert stats.index is not None
    assert stats.index["generation"] == 2
    assert stats.files == len(HANDBOOK) + 1


async def test_without_the_bucket_the_last_generation_is_searched_and_health_says_since_when(
    homes: Homes,
) -> None:
    writer, reader = await homes.home("first"), await homes.home("second", "read")
    await writer.ingest("docs")
    await reader.prepare()

    def away(environ: Any) -> None:
        raise RuntimeError("away")

    homes._server._app.hook = away
    try:
        await reader.sharing.once()
        assert (await ask(reader, QUESTIONS[0])).passages
        health = await reader.check()
        assert health.state is HealthState.DEGRADED
        assert "generation 1 is searched" in health.reason
        assert health.since is not None
        assert homes.bucket in health.reason
    finally:
        homes._server._app.hook = None
    await reader.sharing.once()


async def test_a_file_that_is_not_what_it_is_listed_as_is_refused(homes: Homes, tmp_path: Path) -> None:
    writer, reader = await homes.home("first"), await homes.home("second", "read")
    await writer.ingest("docs")
    name = next(iter(await homes.objects.ages("files/")))
    (tmp_path / "other").write_bytes(b"other")
    await homes.objects.upload(name, tmp_path / "other")
    await reader.prepare()
    assert "is not what it is listed as" in (await reader.check()).reason
    assert not (await ask(reader, QUESTIONS[0])).passages


@pytest.mark.parametrize(
    "change",
    [
        lambda d: {**d, "format": 2},
        lambda d: {**d, "key": "../x"},
        lambda d: {**d, "key": 5},
        lambda d: {**d, "parts": [{"path": "../x", "digest": "0" * 64, "size": 1}]},
        lambda d: {**d, "parts": [{"path": "/etc/x", "digest": "0" * 64, "size": 1}]},
        lambda d: {**d, "parts": [{"path": "x", "digest": "../../y", "size": 1}]},
        lambda d: {**d, "parts": 7},
        lambda d: [d],
    ],
)
def test_what_is_published_and_cannot_be_ours_is_refused(change: Callable[[Any], Any]) -> None:
    data = {"format": 1, "key": "00000001-abcd", "number": 1, "by": "a", "parts": []}
    assert read_generation(orjson.dumps(data)).number == 1
    with pytest.raises(IndexBroken):
        read_generation(orjson.dumps(change(data)))


async def test_old_generations_go_and_what_the_others_need_stays(
    homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "KEPT_SECONDS", -1.0)
    monkeypatch.setattr(publishing, "UNLISTED_SECONDS", -1.0)
    writer, reader = await homes.home("first"), await homes.home("second", "read")
    for number in range(4):
        write(homes.docs, {f"n{number}.md": f"The walrus number {number}."})
        await writer.ingest("docs")
    lists = await homes.objects.ages("generations/")
    assert len(lists) == 2
    await reader.prepare()
    assert len((await ask(reader, "walrus number")).passages) == 4
    needed = set()
    for name in lists:
        found = await homes.objects.read(name)
        assert found is not None
        needed |= {f"files/{digest}" for digest in read_generation(found.content).digests.values()}
    assert set(await homes.objects.ages("files/")) == needed


async def test_an_index_that_did_not_change_is_not_published_again(homes: Homes) -> None:
    for path in homes.docs.rglob("*.*"):
        os.utime(path, (1e9, 1e9))  # what changed a moment ago is looked at once more
    writer = await homes.home("first")
    await writer.ingest("docs")
    again = await homes.home("first")
    await again.ingest("docs")
    await again.sharing.once()
    assert await homes.pointer() == 1


async def test_a_rebuild_is_published_as_one_generation(homes: Homes) -> None:
    writer, reader = await homes.home("first"), await homes.home("second", "read")
    await writer.ingest("docs")
    await reader.prepare()
    await writer.ingest("docs", anew=True)
    assert await homes.pointer() == 2
    await reader.sharing.once()
    assert (await ask(reader, QUESTIONS[0])).passages


async def test_a_full_disk_is_told_without_its_path(homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, reader = await homes.home("first"), await homes.home("second", "read")
    await writer.ingest("docs")

    def full(self: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr("nodes.rag.manifest.IndexPlace.new", full)
    await reader.prepare()
    assert "the index cannot be stored here: No space left on device" in (await reader.check()).reason


async def test_vectors_are_published_and_no_reader_makes_them_again(
    homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not installed():
        pytest.skip("the extra `embed` is not installed")
    writer = await homes.home("first", search="both")
    await writer.ingest("docs")
    reader = await homes.home("second", "read", search="both")
    await reader.prepare()
    reader.sharing.soon()
    await reader.warm()
    made: list[int] = []
    embed = BundledEmbedder.embed

    async def counted(self: BundledEmbedder, texts: Any) -> Any:
        made.append(len(texts))
        return await embed(self, texts)

    monkeypatch.setattr(BundledEmbedder, "embed", counted)
    for text in QUESTIONS:
        assert await ask(reader, text) == await ask(writer, text)
    assert set(made) == {1}  # questions alone
    await reader.aclose()
