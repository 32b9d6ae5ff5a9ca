"""Copies, tags, filters and quotas: what a user may do with files that are there."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import httpx
import pytest

from core.access import Principal
from core.errors import InvalidInput
from core.events import Event
from nodes.file_storage import FileManager, FileNotFound, FileTooLarge, InvalidFile, S3StorageClient
from nodes.file_storage.adapters.local import LocalStore
from nodes.file_storage.errors import NoDirectUploads, StorageFull
from nodes.file_storage.fake import MemoryStore
from nodes.file_storage.filters import Filter
from nodes.file_storage.links import FixedHost, LinkSigner
from nodes.file_storage.ports import FileStore
from nodes.file_storage.settings import FileStorageSettings, QuotaSettings
from waystation.testing.contracts.file_store import read
from waystation.testing.s3 import S3Server

ADA, BOB = Principal("ada"), Principal("bob")
SECRET = "a secret of more than thirty-two characters"


def manager(store: FileStore, told: list[Event] | None = None, **settings: object) -> FileManager:
    made = FileStorageSettings.model_validate(settings)
    publish = (lambda _: None) if told is None else told.append
    host = FixedHost("https://files.example")
    return FileManager(store, signer=LinkSigner(SECRET), host=host, settings=made, publish=publish)


async def names(files: FileManager, **wanted: object) -> list[str]:
    found = await files.list(ADA, wanted=Filter(**wanted))  # type: ignore[arg-type]  # the test's words
    return sorted(info.name for info in found)


async def test_a_copy_is_a_file_of_its_own_and_is_told_of() -> None:
    told: list[Event] = []
    files = manager(MemoryStore(), told)
    info = await files.put(ADA, "a.txt", b"text", thread="t1", tags={"x": "y"})
    copy = await files.copy(ADA, info.key, name="../b.txt")
    assert (copy.name, copy.size, copy.etag, copy.tags, copy.thread) == (
        "b.txt",
        4,
        info.etag,
        {"x": "y"},
        None,
    )
    assert copy.key != info.key
    assert [type(event).__name__ for event in told] == ["FileUploaded"] * 2
    with pytest.raises(FileNotFound):
        await files.copy(BOB, info.key)


async def test_a_local_copy_takes_no_further_room_on_the_disk(tmp_path: object) -> None:
    from pathlib import Path

    root = Path(str(tmp_path))
    files = manager(LocalStore(root))
    info = await files.put(ADA, "a.bin", b"x" * 100_000)
    await files.copy(ADA, info.key)
    contents = list(root.rglob("data-*"))
    assert len(contents) == 2
    assert len({path.stat().st_ino for path in contents}) == 1


async def test_tags_are_set_taken_away_and_replaced() -> None:
    files = manager(MemoryStore())
    key = (await files.put(ADA, "a.txt", b"x", tags={"a": "1", "b": "2"})).key
    assert (await files.tag(ADA, key, {"a": None, "c": "3"})).tags == {"b": "2", "c": "3"}
    assert (await files.tag(ADA, key, {"d": "4"}, replace=True)).tags == {"d": "4"}
    with pytest.raises(InvalidFile, match="at most 512"):
        await files.tag(ADA, key, {"long": "x" * 600})
    with pytest.raises(FileNotFound):
        await files.tag(BOB, key, {"d": "5"})


async def test_files_are_found_by_name_tag_and_type_whatever_the_case_and_accents() -> None:
    files = manager(MemoryStore())
    await files.put(ADA, "Gebühren 2026.CSV", b"x", tags={"Kind": "Liegeplätze"})
    await files.put(ADA, "photo.png", b"x", tags={"year": "2026"})
    await files.put(BOB, "photo of bob.png", b"x")
    assert await names(files, q="gebuhren") == ["Gebühren 2026.CSV"]
    assert await names(files, q="LIEGEPLATZE") == ["Gebühren 2026.CSV"]
    assert await names(files, q="2026") == ["Gebühren 2026.CSV", "photo.png"]
    assert await names(files, media_type="image/") == ["photo.png"]
    assert await names(files, media_type="image/gif") == []
    assert await names(files, tags={"year": "2026"}) == ["photo.png"]
    assert await names(files, tags={"year": ""}) == ["photo.png"]
    assert await names(files, tags={"year": "1999"}) == []


async def test_a_quota_is_that_of_the_user_or_the_most_of_the_groups() -> None:
    groups = {"staff": QuotaSettings(files=3, bytes=100), "guests": QuotaSettings(files=1, bytes=10)}
    files = manager(MemoryStore(), user_files=1, groups=groups)
    both, nobody = Principal("eve", frozenset({"staff", "guests"})), Principal("dan", frozenset({"others"}))
    for _ in range(3):
        await files.put(both, "a", b"12345")
    with pytest.raises(StorageFull, match="at most 3 are allowed"):
        await files.put(both, "a", b"x")
    await files.put(nobody, "a", b"x" * 1000)
    with pytest.raises(StorageFull, match="at most 1 are allowed"):
        await files.put(nobody, "a", b"x")
    guest = Principal("gus", frozenset({"guests"}))
    with pytest.raises(StorageFull, match="at most 10 are allowed"):
        await files.put(guest, "a", b"x" * 11)
    assert (await files.stats(guest)).files == 0


async def test_what_is_announced_and_has_no_room_is_refused_before_any_of_it_is_read() -> None:
    files, read_of = manager(MemoryStore(), user_bytes=100, max_bytes=90), list[int]()

    async def content() -> AsyncIterator[bytes]:
        read_of.append(1)
        yield b"x" * 60

    with pytest.raises(FileTooLarge):
        await files.put(ADA, "a", content(), at_least=91)
    await files.put(ADA, "a", content(), at_least=50)
    with pytest.raises(StorageFull, match="would have 101 bytes"):
        await files.put(ADA, "a", content(), at_least=41)
    assert read_of == [1]
    with pytest.raises(StorageFull, match="would have 120 bytes"):
        await files.put(ADA, "a", content(), at_least=40)
    assert (await files.stats(ADA)).bytes == 60


async def test_a_deletion_makes_no_room_for_uploads_on_their_way_that_others_have_taken() -> None:
    files = manager(MemoryStore(), user_bytes=100)
    small = await files.put(ADA, "small", b"x")
    go, begun = asyncio.Event(), asyncio.Event()

    async def content() -> AsyncIterator[bytes]:
        yield b"x"
        begun.set()
        await go.wait()
        yield b"x" * 59

    slow = asyncio.create_task(files.put(ADA, "slow", content()))
    await begun.wait()
    await files.delete(ADA, small.key)
    await files.put(ADA, "quick", b"x" * 50)
    go.set()
    with pytest.raises(StorageFull):
        await slow
    assert (await files.stats(ADA)).bytes == 50


async def test_tags_that_come_behind_the_content_are_kept_or_refuse_it() -> None:
    files = manager(MemoryStore())
    info = await files.put(ADA, "a", b"x", tags=lambda: {"a": "b"})
    assert (await files.info(ADA, info.key)).tags == {"a": "b"}
    with pytest.raises(InvalidFile, match="at most 512"):
        await files.put(ADA, "a", b"x", tags=lambda: {"a": "b" * 600})
    assert (await files.stats(ADA)).files == 1


async def test_a_copy_counts_as_a_file_does() -> None:
    files = manager(MemoryStore(), user_bytes=10)
    info = await files.put(ADA, "a", b"123456")
    with pytest.raises(StorageFull):
        await files.copy(ADA, info.key)
    assert (await files.stats(ADA)).files == 1


async def test_a_folder_takes_no_uploads_past_the_service() -> None:
    with pytest.raises(NoDirectUploads, match="send the content to POST /files"):
        await manager(MemoryStore()).upload_link(ADA, "a", size=1, sha256="0" * 64)


async def test_an_upload_past_the_service_is_a_file_like_any_other() -> None:
    told: list[Event] = []
    content = "Liegeplätze".encode()
    digest = hashlib.sha256(content).hexdigest()
    with S3Server() as server:
        store = S3StorageClient(server.settings("direct"))
        files = manager(store, told, backend="s3", s3={"bucket": "direct"}, max_bytes=1000)
        draft, link = await files.upload_link(
            ADA, "Plätze.txt", size=len(content), sha256=digest, tags={"a": "ä"}
        )
        with pytest.raises(FileNotFound):
            await files.uploaded(ADA, draft.key)
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.put(link.url, content=content, headers=dict(link.headers))
        assert answer.status_code == 200, answer.text
        info = await files.uploaded(ADA, draft.key)
        assert (info.name, info.size, info.etag, info.tags) == (
            "Plätze.txt",
            len(content),
            digest,
            {"a": "ä"},
        )
        assert await read(store, ADA.id, draft.key) == content
        assert [type(event).__name__ for event in told] == ["FileUploaded"]
        with pytest.raises(FileTooLarge):
            await files.upload_link(ADA, "a", size=1001, sha256=digest)
        with pytest.raises(InvalidFile, match="64 hexadecimal digits"):
            await files.upload_link(ADA, "a", size=1, sha256="x")
        with pytest.raises(InvalidInput, match="1 to 604800 seconds"):
            await files.upload_link(ADA, "a", size=1, sha256=digest, seconds=0)
        await store.aclose()
