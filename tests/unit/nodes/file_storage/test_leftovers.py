"""G3.3: what a killed upload leaves behind is found and taken away, and no file is ever touched."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nodes.file_storage.adapters import local
from nodes.file_storage.adapters.local import LocalStore
from nodes.file_storage.adapters.s3 import S3StorageClient
from nodes.file_storage.models import Leftovers
from nodes.file_storage.naming import owner_folder
from waystation.testing.contracts.file_store import ADA, draft, read
from waystation.testing.s3 import S3Server

pytestmark = pytest.mark.slow

KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from nodes.file_storage.adapters import local
from waystation.testing.contracts.file_store import chunks, draft

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

async def slow():
    yield b"half"
    die()

where = sys.argv[2]
if where == "before the record":
    local._write_record = die
data = slow() if where == "in the data" else chunks(b"x" * 1000)
asyncio.run(local.LocalStore(Path(sys.argv[1])).put(draft("gone"), data))
"""

TOMORROW = datetime.now(UTC) + timedelta(days=1)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def entries(root: Path) -> set[str]:
    return {path.name for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("where", ["in the data", "before the record"])
async def test_g3_3_a_killed_upload_is_found_and_swept(tmp_path: Path, where: str) -> None:
    root = tmp_path / "files"
    store = LocalStore(root)
    await store.put(draft("kept"), pieces(b"whole"))
    before = entries(root)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(root), where],
        cwd=Path(local.__file__).parents[3],
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert len(entries(root) - before) == 1
    assert await store.reconcile(datetime.now(UTC) - timedelta(hours=1), remove=True) == Leftovers()
    found = await store.reconcile(TOMORROW, remove=False)
    assert found.pieces == 1
    assert await store.reconcile(TOMORROW, remove=True) == found
    assert entries(root) == before
    assert await read(store, ADA, "kept") == b"whole"
    assert await store.reconcile(TOMORROW, remove=True) == Leftovers()


async def test_a_content_beside_a_record_that_names_another_is_swept(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    await store.put(draft("k"), pieces(b"new"))
    (folder,) = [path.parent for path in tmp_path.rglob("meta.json")]
    (folder / "data-0000").write_bytes(b"old")
    assert (await store.reconcile(TOMORROW, remove=True)).pieces == 1
    assert await read(store, ADA, "k") == b"new"


async def test_a_damaged_record_keeps_its_content(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    await store.put(draft("k"), pieces(b"new"))
    (record,) = tmp_path.rglob("meta.json")
    record.write_text("{")
    assert await store.reconcile(TOMORROW, remove=True) == Leftovers()
    assert len(list(record.parent.iterdir())) == 2


async def test_a_record_without_its_content_is_found_and_taken_away(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    await store.put(draft("kept"), pieces(b"whole"))
    await store.put(draft("lost"), pieces(b"gone"))
    (content,) = (tmp_path / owner_folder(ADA) / "lost").glob("data-*")
    content.unlink()
    assert await store.reconcile(datetime.now(UTC) - timedelta(hours=1), remove=True) == Leftovers()
    assert await store.reconcile(TOMORROW, remove=False) == Leftovers(records=1)
    assert await store.reconcile(TOMORROW, remove=True) == Leftovers(records=1)
    assert [info.key async for info in store.scan(ADA)] == ["kept"]
    assert not (tmp_path / owner_folder(ADA) / "lost").exists()
    assert await store.reconcile(TOMORROW, remove=True) == Leftovers()


async def test_an_upload_that_is_going_on_is_left_alone(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)

    async def looked_at() -> AsyncIterator[bytes]:
        yield b"first "
        assert await store.reconcile(datetime.now(UTC) - timedelta(hours=24), remove=True) == Leftovers()
        yield b"second"

    await store.put(draft("k"), looked_at())
    assert await read(store, ADA, "k") == b"first second"


async def test_g3_3_an_unended_upload_in_parts_is_aborted_on_s3(s3_server: S3Server) -> None:
    bucket = f"b-{uuid.uuid4().hex}"
    store = S3StorageClient(s3_server.settings(bucket, prefix="w"))
    try:
        await store.put(draft("kept"), pieces(b"whole"))
        client = store._client
        client.create_multipart_upload(Bucket=bucket, Key="w/ada/half")
        client.create_multipart_upload(Bucket=bucket, Key="elsewhere/half")
        assert (await store.reconcile(TOMORROW, remove=False)).pieces == 1
        assert (await store.reconcile(TOMORROW, remove=True)).pieces == 1
        assert (await store.reconcile(TOMORROW, remove=True)).pieces == 0
        assert await read(store, ADA, "kept") == b"whole"
    finally:
        await store.aclose()
