"""FileManager: ownership, limits, listing, links, health."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import NoReturn

import pytest

from core.access import Principal
from core.errors import InvalidInput, Unavailable
from core.events import Event
from core.health import HealthState
from core.observability import REGISTRY, start_telemetry
from core.settings.platform import TelemetrySettings
from core.task_queue import TaskQueue
from nodes.file_storage.adapters.local import LocalStore
from nodes.file_storage.errors import FileNotFound, FileTooLarge, InvalidFile, LinkInvalid
from nodes.file_storage.events import FileDeleted, FileUploaded
from nodes.file_storage.expiry import expire_after
from nodes.file_storage.fake import MemoryStore
from nodes.file_storage.links import FixedHost, LinkSigner
from nodes.file_storage.manager import FileManager
from nodes.file_storage.settings import FileStorageSettings
from tests.kit.otlp_server import OtlpServer

ADA, BOB = Principal("ada"), Principal("bob")


async def read(files: FileManager, who: Principal, key: str, **span: int) -> bytes:
    return b"".join([chunk async for chunk in files.open(who, key, **span)])


async def test_a_file_comes_back_as_it_was_put(files: FileManager) -> None:
    info = await files.put(ADA, "dir/notes.md", b"# Hi", tags={"a": "b"})
    assert (info.name, info.media_type, info.size, info.owner) == ("notes.md", "text/markdown", 4, "ada")
    assert await files.info(ADA, info.key) == info
    assert await read(files, ADA, info.key) == b"# Hi"
    assert await read(files, ADA, info.key, start=2, end=3) == b"H"


async def test_somebody_elses_file_is_not_found(files: FileManager) -> None:
    info = await files.put(ADA, "a.txt", b"x")
    for asked in (
        files.info(BOB, info.key),
        read(files, BOB, info.key),
        files.attach(BOB, info.key, "t1"),
        files.delete(BOB, info.key),
        files.link(BOB, info.key),
        files.list(BOB, after=info.key),
    ):
        with pytest.raises(FileNotFound):
            await asked
    assert await files.list(BOB) == []
    assert await read(files, ADA, info.key) == b"x"


@pytest.mark.parametrize("key", ["", "../x", "a/b", "x" * 65])
async def test_what_cannot_be_a_key_is_not_found(files: FileManager, key: str) -> None:
    with pytest.raises(FileNotFound):
        await files.info(ADA, key)
    with pytest.raises(FileNotFound):
        files.open(ADA, key)


async def test_a_file_over_the_limit_is_refused_while_it_streams(
    files: FileManager, store: MemoryStore
) -> None:
    sent = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            sent.append(1)
            yield b"x" * 400

    with pytest.raises(FileTooLarge, match=r"'big.bin' is larger than 1000 bytes.*file_storage.max_bytes"):
        await files.put(ADA, "big.bin", endless())
    assert len(sent) == 3
    assert (await store.usage(None)).files == 0


async def test_a_file_of_exactly_the_limit_is_kept(files: FileManager) -> None:
    assert (await files.put(ADA, "a", b"x" * 1000)).size == 1000
    with pytest.raises(FileTooLarge):
        await files.put(ADA, "a", b"x" * 1001)


async def test_putting_with_a_key_twice_keeps_one_file(files: FileManager) -> None:
    await files.put(ADA, "a.txt", b"1", key="mine")
    await files.put(ADA, "a.txt", b"2", key="mine")
    assert [i.key for i in await files.list(ADA)] == ["mine"]


async def test_bad_keys_threads_and_tags_are_refused(files: FileManager) -> None:
    with pytest.raises(InvalidFile):
        await files.put(ADA, "a", b"", key="a/b")
    with pytest.raises(InvalidFile):
        await files.put(ADA, "a", b"", thread="a/b")
    with pytest.raises(InvalidFile):
        await files.put(ADA, "a", b"", tags={"a": "x" * 1000})


async def test_the_list_is_filtered_paged_and_newest_first(files: FileManager) -> None:
    for n in range(6):
        await files.put(ADA, f"{n}.txt", b"x", origin="tool" if n % 2 else "user", key=f"k{n}")
    await files.attach(ADA, "k0", "t1")
    assert [i.key for i in await files.list(ADA)] == ["k0", "k5", "k4", "k3", "k2", "k1"]
    assert [i.key for i in await files.list(ADA, origin="tool")] == ["k5", "k3", "k1"]
    assert [i.key for i in await files.list(ADA, thread="t1")] == ["k0"]
    assert [i.key for i in await files.list(ADA, limit=2, after="k4")] == ["k3", "k2"]


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_a_limit_outside_of_1_to_1000_is_refused(files: FileManager, limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit must be 1 to 1000"):
        await files.list(ADA, limit=limit)


@pytest.mark.parametrize("span", [{"start": -1}, {"start": 0, "end": -2}])
async def test_a_negative_range_is_refused(files: FileManager, span: dict[str, int]) -> None:
    info = await files.put(ADA, "a", b"x")
    with pytest.raises(InvalidInput, match="range"):
        files.open(ADA, info.key, **span)


async def test_a_link_names_the_service_and_resolves_to_the_file(files: FileManager) -> None:
    info = await files.put(ADA, "a.txt", b"x")
    link = await files.link(ADA, info.key)
    base, token = link.rsplit("/", 1)
    assert base == "https://files.example/base/files/link"
    assert await files.resolve_link(token) == info
    elsewhere = await files.link(ADA, info.key, base_url="http://127.0.0.1:8000/")
    assert elsewhere.startswith("http://127.0.0.1:8000/files/link/")
    with pytest.raises(LinkInvalid):
        await files.resolve_link(token[:-2])


@pytest.mark.parametrize("seconds", [0, -1, 10_000_000])
async def test_a_link_lives_a_second_to_a_week(files: FileManager, seconds: int) -> None:
    info = await files.put(ADA, "a.txt", b"x")
    with pytest.raises(InvalidInput, match="a link lives"):
        await files.link(ADA, info.key, seconds=seconds)


async def test_stats_count_one_user_or_all(files: FileManager) -> None:
    await files.put(ADA, "a", b"123")
    await files.put(BOB, "b", b"4567")
    assert (await files.stats(ADA)).as_json() == {"files": 1, "bytes": 3, "owners": 1}
    assert (await files.stats()).as_json() == {"files": 2, "bytes": 7, "owners": 2}


async def test_a_working_store_is_healthy_and_the_probe_leaves_nothing(
    files: FileManager, store: MemoryStore
) -> None:
    health = await files.check()
    assert health.state is HealthState.HEALTHY
    assert (await store.usage(None)).files == 0


class _Forgetful(MemoryStore):
    async def open(
        self, owner: str, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        yield b"something else"


async def test_a_store_that_gives_back_something_else_has_failed(signer: LinkSigner) -> None:
    health = await _manager(_Forgetful(), signer).check()
    assert health.state is HealthState.FAILED
    assert "reads differently" in health.reason


def _manager(store: LocalStore | MemoryStore, signer: LinkSigner, **settings: int) -> FileManager:
    found = FileStorageSettings.model_validate(settings)
    return FileManager(store, signer=signer, host=FixedHost("http://x"), settings=found)


async def test_a_local_store_with_room_is_healthy(tmp_path: Path, signer: LinkSigner) -> None:
    health = await _manager(LocalStore(tmp_path / "files"), signer, low_disk_bytes=0).check()
    assert health.state is HealthState.HEALTHY
    assert health.details["backend"] == "local"
    assert health.details["free_bytes"] > 0


async def test_little_free_disk_is_degraded(tmp_path: Path, signer: LinkSigner) -> None:
    health = await _manager(LocalStore(tmp_path / "files"), signer, low_disk_bytes=10**18).check()
    assert health.state is HealthState.DEGRADED
    assert "MiB of disk are free" in health.reason


async def test_a_folder_that_cannot_be_written_has_failed(tmp_path: Path, signer: LinkSigner) -> None:
    (tmp_path / "files").write_text("a file where the folder should be")
    health = await _manager(LocalStore(tmp_path / "files"), signer).check()
    assert health.state is HealthState.FAILED
    assert "folder for files cannot be used" in health.reason
    assert str(tmp_path) not in health.reason


async def test_what_was_stored_and_deleted_is_told_after_the_fact_and_a_probe_is_not(
    signer: LinkSigner, store: MemoryStore
) -> None:
    told: list[Event] = []
    files = FileManager(
        store,
        signer=signer,
        host=FixedHost("http://x"),
        settings=FileStorageSettings(max_bytes=10),
        publish=told.append,
    )
    await files.check()
    with pytest.raises(FileTooLarge):
        await files.put(ADA, "large.txt", b"x" * 11)
    with pytest.raises(FileNotFound):
        await files.delete(ADA, "none")
    assert told == []
    info = await files.put(ADA, "a.txt", b"12345", origin="tool")
    await files.delete(ADA, info.key)
    uploaded, deleted = told
    assert isinstance(uploaded, FileUploaded)
    assert isinstance(deleted, FileDeleted)
    assert uploaded.details() == {
        "key": info.key,
        "name": "a.txt",
        "size": 5,
        "origin": "tool",
        "owner": "ada",
    }
    assert deleted.details() == {"key": info.key, "owner": "ada"}


async def test_every_operation_has_a_span_with_its_backend_and_size_and_a_duration(
    files: FileManager,
) -> None:
    with OtlpServer() as collector:
        telemetry = start_telemetry(TelemetrySettings(otlp_endpoint=collector.url, metrics=False))
        info = await files.put(ADA, "a.txt", b"12345")
        await read(files, ADA, info.key)
        await files.list(ADA)
        await files.attach(ADA, info.key, "t1")
        await files.link(ADA, info.key)
        await files.delete(ADA, info.key)
        with pytest.raises(FileNotFound):
            await files.delete(ADA, info.key)
        telemetry.stop(seconds=10)
        found = [(s.name, s.attributes.get("waystation.file_size")) for s in collector.spans]
        assert found == [
            ("file put", 5),
            ("file get", 5),
            ("file list", None),
            ("file attach", None),
            ("file link", 5),
            ("file delete", None),
            ("file delete", None),
        ]
        assert {s.attributes["waystation.file_backend"] for s in collector.spans} == {"local"}
        assert collector.spans[-1].attributes["error.type"] == "file_not_found"
        assert not any("a.txt" in str(s.attributes) for s in collector.spans)
    labels = {"operation": "file_put", "outcome": "ok"}
    assert REGISTRY.get_sample_value("waystation_operation_seconds_count", labels)


async def test_when_a_file_ends_is_no_tag_that_a_caller_sets(files: FileManager) -> None:
    end, other = "2030-01-01T00:00:00+00:00", {"expires_at": "2020-01-01T00:00:00+00:00"}
    info = await files.put(ADA, "a.txt", b"x", tags={"a": "b"})
    for refused in (
        files.put(ADA, "b.txt", b"x", tags=other),
        files.put(ADA, "b.txt", b"x", tags=lambda: other),
        files.copy(ADA, info.key, tags=other),
        files.tag(ADA, info.key, other),
        files.tag(ADA, info.key, other, replace=True),
    ):
        with pytest.raises(InvalidFile, match="expires_after"):
            await refused
    assert [one.key for one in await files.list(ADA)] == [info.key]
    assert (await files.tag(ADA, info.key, {}, end=end)).tags == {"a": "b", "expires_at": end}
    # Whoever sends all tags back as they were changes nothing of the end.
    kept = await files.tag(ADA, info.key, {"c": "d", "expires_at": end}, replace=True)
    assert kept.tags == {"c": "d", "expires_at": end}
    assert (await files.copy(ADA, info.key)).tags == {"c": "d"}
    assert (await files.tag(ADA, info.key, {"expires_at": None})).tags == {"c": "d"}


class FullQueue(TaskQueue):
    """One that cannot store a task, as where its disk is full."""

    def __init__(self) -> None:
        """No ledger is asked."""

    async def add(self, *_: object, **__: object) -> NoReturn:
        raise Unavailable("the disk is full")


async def test_a_file_whose_end_cannot_be_kept_is_not_kept_either(files: FileManager) -> None:
    info = await files.put(ADA, "a.txt", b"x")
    with pytest.raises(Unavailable):
        await expire_after(files, FullQueue(), ADA, info, 3600)
    assert await files.list(ADA) == []
