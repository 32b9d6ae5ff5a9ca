"""A manager on a fake store, and principals."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from nodes.file_storage.fake import MemoryStore
from nodes.file_storage.links import FixedHost, LinkSigner
from nodes.file_storage.manager import FileManager
from nodes.file_storage.settings import FileStorageSettings

SECRET = "a secret of more than thirty-two characters"


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    found = MemoryStore()
    yield found
    await found.aclose()


@pytest.fixture
def signer() -> LinkSigner:
    return LinkSigner(SECRET)


@pytest.fixture
def files(store: MemoryStore, signer: LinkSigner) -> FileManager:
    return FileManager(
        store,
        signer=signer,
        host=FixedHost("https://files.example/base/"),
        settings=FileStorageSettings(max_bytes=1000),
    )
