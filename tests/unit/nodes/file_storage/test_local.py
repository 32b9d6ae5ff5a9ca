"""The folder on disk: what a kill leaves, what is swept, and what the disk may answer."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nodes.file_storage.adapters.leftovers import INCOMING, RECORD
from nodes.file_storage.adapters.local import LocalStore
from nodes.file_storage.errors import StorageUnavailable
from nodes.file_storage.models import FileInfo, Usage
from nodes.file_storage.naming import owner_folder

HALF_AN_UPLOAD = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from nodes.file_storage.adapters.local import LocalStore
from nodes.file_storage.models import FileInfo

async def chunks():
    yield b"x" * 3_000_000
    print("half", flush=True)
    await asyncio.Event().wait()

draft = FileInfo("k1", "new.txt", 0, "text/plain", "", datetime.now(UTC), "user", None, {}, "ada")
asyncio.run(LocalStore(Path(sys.argv[1])).put(draft, chunks()))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def local(root: Path) -> LocalStore:
    return LocalStore(root)


def draft(key: str, name: str = "a.txt") -> FileInfo:
    return FileInfo(key, name, 0, "text/plain", "", datetime.now(UTC), "user", None, {}, "ada")


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def keys(store: LocalStore) -> list[str]:
    return [info.key async for info in store.scan("ada")]


async def read(store: LocalStore, key: str) -> bytes:
    return b"".join([chunk async for chunk in store.open("ada", key)])


async def _killed_in_mid_upload(root: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HALF_AN_UPLOAD, str(root), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert await process.stdout.readline() == b"half\n"
        process.kill()
        assert await process.wait() == -signal.SIGKILL


async def test_a_kill_in_mid_upload_leaves_nothing_visible(local: LocalStore, root: Path) -> None:
    await _killed_in_mid_upload(root)
    assert await keys(local) == []
    assert await local.usage(None) == Usage()


async def test_a_kill_in_mid_upload_keeps_the_file_that_was_there(local: LocalStore, root: Path) -> None:
    await local.put(draft("k1", "old.txt"), chunks(b"whole"))
    await _killed_in_mid_upload(root)
    assert (await local.info("ada", "k1")).name == "old.txt"
    assert await read(local, "k1") == b"whole"


async def test_leftovers_of_a_kill_are_swept_a_day_later(local: LocalStore, root: Path) -> None:
    (root / INCOMING).mkdir(parents=True)
    for name, age in (("old", 2 * 24 * 3600), ("fresh", 60)):
        path = root / INCOMING / name
        path.write_bytes(b"half")
        stamp = path.stat().st_mtime - age
        os.utime(path, (stamp, stamp))
    await local.put(draft("k1"), chunks(b"x"))
    assert [p.name for p in (root / INCOMING).iterdir()] == ["fresh"]


async def test_replacing_leaves_one_content_on_disk(local: LocalStore, root: Path) -> None:
    for content in (b"1", b"2", b"3"):
        await local.put(draft("k1"), chunks(content))
    assert len([p for p in root.rglob("data-*") if p.is_file()]) == 1


async def test_a_reader_keeps_the_content_that_it_began_with(local: LocalStore) -> None:
    await local.put(draft("k1"), chunks(b"a" * 2_000_000))
    reader = local.open("ada", "k1")
    first = await anext(reader)
    await local.put(draft("k1"), chunks(b"b" * 2_000_000))
    rest = b"".join([chunk async for chunk in reader])
    assert first + rest == b"a" * 2_000_000


async def test_the_latest_change_comes_first(local: LocalStore, root: Path) -> None:
    for at, key in enumerate(("k1", "k2", "k3")):
        await local.put(draft(key), chunks(b"x"))
        os.utime(root / owner_folder("ada") / key / RECORD, (1000 + at, 1000 + at))
    assert await keys(local) == ["k3", "k2", "k1"]
    await local.annotate("ada", "k1", thread="t1")
    assert await keys(local) == ["k1", "k3", "k2"]


async def test_a_damaged_record_hides_no_other_file(local: LocalStore, root: Path) -> None:
    await local.put(draft("k1"), chunks(b"x"))
    await local.put(draft("k2"), chunks(b"x"))
    (root / owner_folder("ada") / "k1" / RECORD).write_text("{half")
    assert await keys(local) == ["k2"]
    assert (await local.usage("ada")).files == 1
    with pytest.raises(StorageUnavailable, match="record of file 'k1' is damaged"):
        await local.info("ada", "k1")


async def test_a_damaged_file_can_be_stored_again(local: LocalStore, root: Path) -> None:
    await local.put(draft("k1"), chunks(b"x"))
    (root / owner_folder("ada") / "k1" / RECORD).write_text("[]")
    await local.put(draft("k1"), chunks(b"again"))
    assert await read(local, "k1") == b"again"


async def test_content_that_somebody_took_away_is_an_error(local: LocalStore, root: Path) -> None:
    await local.put(draft("k1"), chunks(b"x"))
    next(root.rglob("data-*")).unlink()
    with pytest.raises(StorageUnavailable, match="content of file 'k1' is missing"):
        await read(local, "k1")


async def test_a_folder_without_a_record_is_no_file(local: LocalStore, root: Path) -> None:
    (root / owner_folder("ada") / "k1").mkdir(parents=True)
    assert await keys(local) == []
    await local.put(draft("k1"), chunks(b"x"))
    assert await keys(local) == ["k1"]


async def test_deletes_and_puts_of_one_key_at_once_leave_a_whole_file_or_none(local: LocalStore) -> None:
    await local.put(draft("k1"), chunks(b"x" * 1000))
    work = [local.put(draft("k1"), chunks(b"x" * 1000)) for _ in range(8)]
    deletes = [local.delete("ada", "k1") for _ in range(8)]
    await asyncio.gather(*work, *deletes, return_exceptions=True)
    for key in await keys(local):
        assert await read(local, key) == b"x" * 1000


async def test_the_disks_refusal_is_told_without_paths(local: LocalStore, root: Path) -> None:
    root.write_text("a file where the folder should be")
    for asked in (
        local.put(draft("k1"), chunks(b"x")),
        local.info("ada", "k1"),
        keys(local),
        read(local, "k"),
    ):
        with pytest.raises(StorageUnavailable, match="folder for files cannot be used") as caught:
            await asked
        assert str(root) not in caught.value.detail


async def test_the_room_is_known_before_the_first_file(local: LocalStore) -> None:
    assert await local.free_bytes()
