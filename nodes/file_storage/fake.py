"""A FileStore in memory: for tests, and to try things without a disk."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

from nodes.file_storage.errors import FileNotFound
from nodes.file_storage.models import CHUNK_BYTES, FileInfo, Room, Usage


class MemoryStore:
    """Keeps everything in this process; gone with it."""

    def __init__(self) -> None:
        # In the order of the last change, the oldest first.
        self._files: dict[tuple[str, str], tuple[FileInfo, bytes]] = {}

    async def put(self, draft: FileInfo, data: AsyncIterator[bytes]) -> FileInfo:
        content = b"".join([chunk async for chunk in data])
        info = replace(draft, size=len(content), etag=hashlib.sha256(content).hexdigest())
        self._write(info, content)
        return info

    async def info(self, owner: str, key: str) -> FileInfo:
        return self._get(owner, key)[0]

    async def open(
        self, owner: str, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        content = self._get(owner, key)[1][start:end]
        for at in range(0, len(content), CHUNK_BYTES):
            yield content[at : at + CHUNK_BYTES]

    async def scan(self, owner: str, *, after: str | None = None) -> AsyncIterator[FileInfo]:
        found = [info for info, _ in reversed(self._files.values()) if info.owner == owner]
        if after is not None:
            found = found[found.index(self._get(owner, after)[0]) + 1 :]
        for info in found:
            yield info

    async def annotate(self, owner: str, key: str, *, thread: str | None) -> FileInfo:
        info, content = self._get(owner, key)
        changed = replace(info, thread=thread)
        self._write(changed, content)
        return changed

    async def delete(self, owner: str, key: str) -> None:
        self._get(owner, key)
        del self._files[owner, key]

    async def presign(self, info: FileInfo, seconds: int) -> str | None:
        return None

    async def usage(self, owner: str | None) -> Usage:
        found = [info for info, _ in self._files.values() if owner in (None, info.owner)]
        return Usage(len(found), sum(i.size for i in found), len({i.owner for i in found}))

    async def room(self) -> Room:
        return Room()

    async def aclose(self) -> None:
        self._files.clear()

    def _get(self, owner: str, key: str) -> tuple[FileInfo, bytes]:
        try:
            return self._files[owner, key]
        except KeyError:
            raise FileNotFound(f"no file '{key}'") from None

    def _write(self, info: FileInfo, content: bytes) -> None:
        self._files.pop((info.owner, info.key), None)
        self._files[info.owner, info.key] = (info, content)
