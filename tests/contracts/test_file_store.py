"""The shipped stores keep the contract: memory, the local disk, and S3's own protocol."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from nodes.file_storage.adapters.local import LocalStore
from nodes.file_storage.adapters.s3 import S3StorageClient
from nodes.file_storage.fake import MemoryStore
from nodes.file_storage.ports import FileStore
from waystation.testing.contracts.file_store import FileStoreContract, chunks, draft
from waystation.testing.s3 import S3Server


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


class TestMemory(FileStoreContract):
    @pytest.fixture
    def store(self) -> FileStore:
        return MemoryStore()


class TestLocalDisk(FileStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FileStore:
        self.root = tmp_path / "files"
        return LocalStore(self.root)

    def leftovers(self) -> Sequence[object]:
        return [path for path in self.root.rglob("*") if path.is_file()]


class TestS3(FileStoreContract):
    @pytest.fixture
    async def store(self, server: S3Server) -> AsyncIterator[FileStore]:
        client = S3StorageClient(server.settings(f"b-{uuid.uuid4().hex}"))
        # An empty bucket has to exist before it is asked.
        await client.put(draft("warm-up", owner="warm-up"), chunks(b"x"))
        await client.delete("warm-up", "warm-up")
        yield client
        await client.aclose()
