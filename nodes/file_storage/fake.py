"""A FileStore in memory: for tests, and to try things without a disk."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from nodes.file_storage.errors import FileNotFound
from nodes.file_storage.models import CHUNK_BYTES, FileInfo, Leftovers, OldFile, Usage
from nodes.file_storage.order import Spot, behind, newest_first
from nodes.file_storage.ports import FileStore


class MemoryStore(FileStore):
    """Keeps everything in this process; gone with it."""

    def __init__(self) -> None:
        # In the order of the last change, the oldest first.
        self._files: dict[tuple[str, str], tuple[OldFile, bytes]] = {}
        self._notes: dict[str, bytes] = {}

    async def put(
        self,
        draft: FileInfo,
        data: AsyncIterator[bytes],
        *,
        tags: Callable[[], Mapping[str, str]] | None = None,
    ) -> FileInfo:
        content = b"".join([chunk async for chunk in data])
        info = draft.with_content(len(content), hashlib.sha256(content).hexdigest(), tags)
        self._write(info, content)
        return info

    async def info(self, owner: str, key: str) -> FileInfo:
        return self._get(owner, key)[0]

    async def open(
        self, owner: str, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        content = self._get(owner, key)[1][start:end]
        for at in range(0, len(content), CHUNK_BYTES):
            yield content[at : at + CHUNK_BYTES]

    async def scan(self, owner: str, *, after: Spot | str | None = None) -> AsyncIterator[FileInfo]:
        mine = [kept for kept, _ in self._files.values() if kept.info.owner == owner]
        spots = newest_first(
            (round(kept.changed.timestamp() * 1_000_000) * 1000, kept.info.key) for kept in mine
        )
        for changed, key in behind(spots, after):
            yield replace(self._get(owner, key)[0], changed=changed)

    async def annotate(self, owner: str, key: str, *, thread: str | None) -> FileInfo:
        info, content = self._get(owner, key)
        changed = replace(info, thread=thread)
        self._write(changed, content)
        return changed

    async def tag(self, owner: str, key: str, tags: Mapping[str, str]) -> FileInfo:
        info, content = self._get(owner, key)
        changed = replace(info, tags=dict(tags))
        self._write(changed, content)
        return changed

    async def copy(self, owner: str, key: str, draft: FileInfo) -> FileInfo:
        info, content = self._get(owner, key)
        made = replace(draft, size=info.size, etag=info.etag)
        self._write(made, content)
        return made

    async def delete(self, owner: str, key: str) -> None:
        self._get(owner, key)
        del self._files[owner, key]

    async def unchanged_since(self, until: datetime) -> AsyncIterator[OldFile]:
        for kept, _ in list(self._files.values()):
            if kept.changed < until:
                yield kept

    async def discard(self, old: OldFile) -> bool:
        at = (old.info.owner, old.info.key)
        if at not in self._files or self._files[at][0] != old:
            return False
        del self._files[at]
        return True

    async def usage(self, owner: str | None) -> Usage:
        found = [kept.info for kept, _ in self._files.values() if owner in (None, kept.info.owner)]
        return Usage(len(found), sum(i.size for i in found), len({i.owner for i in found}))

    async def change_note(self, owner: str, change: Callable[[bytes], bytes]) -> bool:
        self._notes[owner] = change(self._notes.get(owner, b""))
        return True

    async def reconcile(self, until: datetime, *, remove: bool) -> Leftovers:
        return Leftovers()

    async def aclose(self) -> None:
        self._files.clear()

    def _get(self, owner: str, key: str) -> tuple[FileInfo, bytes]:
        try:
            kept, content = self._files[owner, key]
        except KeyError:
            raise FileNotFound(f"no file '{key}'") from None
        return kept.info, content

    def _write(self, info: FileInfo, content: bytes) -> None:
        self._files.pop((info.owner, info.key), None)
        self._files[info.owner, info.key] = (OldFile(info, datetime.now(UTC), place=info.key), content)
