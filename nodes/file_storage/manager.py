"""The files of users: who may touch which, how large they may be, and links that let a tool fetch one."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime

from core.access import Principal
from core.errors import InvalidInput, WaystationError
from core.health import Health, degraded, failed, healthy
from core.observability import track_duration
from nodes.file_storage.errors import FileNotFound, FileTooLarge, InvalidFile
from nodes.file_storage.links import LinkSigner
from nodes.file_storage.models import CHUNK_BYTES, FileInfo, Origin, Usage
from nodes.file_storage.naming import (
    checked_key,
    checked_tags,
    clean_name,
    is_key,
    media_type_of,
    new_key,
)
from nodes.file_storage.ports import FileStore, LinkHost
from nodes.file_storage.settings import WEEK_SECONDS, FileStorageSettings

LIST_MOST = 1000
# No user can be called so, which keeps the probe's file out of everybody's lists.
PROBE = Principal("\0health")
MIB = 1024 * 1024


class FileManager:
    """Stores, lists, hands out and deletes files; every call is made for a principal.

    A file of somebody else is reported exactly like one that does not exist.
    """

    def __init__(
        self, store: FileStore, *, signer: LinkSigner, host: LinkHost, settings: FileStorageSettings
    ) -> None:
        self._store = store
        self._signer = signer
        self._host = host
        self._settings = settings

    async def put(
        self,
        principal: Principal,
        name: str,
        data: bytes | AsyncIterable[bytes],
        *,
        media_type: str | None = None,
        origin: Origin = "user",
        thread: str | None = None,
        tags: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> FileInfo:
        """Store `data` as a new file, or in place of the one that has `key`.

        Args:
            name: Any text; folders and control characters are taken out.
            data: The content, whole or in chunks as they arrive.
            media_type: None: guessed from the name.
            key: None: a new one. Given: storing twice leaves one file.

        Raises:
            FileTooLarge: More than file_storage.max_bytes; nothing is kept of it.
            InvalidFile: The key, thread or tags cannot be accepted.
        """
        kept = clean_name(name)
        draft = FileInfo(
            key=new_key() if key is None else checked_key(key),
            name=kept,
            size=0,
            media_type=media_type_of(kept, media_type),
            etag="",
            created=datetime.now(UTC),
            origin=origin,
            thread=_checked_thread(thread),
            tags=checked_tags(tags),
            owner=principal.id,
        )
        chunks = _pieces(data) if isinstance(data, bytes) else data
        with track_duration("file_put"):
            async with aclosing(self._limited(kept, chunks)) as limited:
                return await self._store.put(draft, limited)

    async def info(self, principal: Principal, key: str) -> FileInfo:
        """What is known of the file.

        Raises:
            FileNotFound: The principal has no such file.
        """
        return await self._store.info(principal.id, _existing(key))

    def open(
        self, principal: Principal, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """The content in chunks; with a range, the bytes from `start` up to and without `end`.

        Raises:
            FileNotFound: The principal has no such file; at the first chunk at the latest.
        """
        if start < 0 or (end is not None and end < 0):
            raise InvalidInput(f"a range begins and ends at 0 or later (got {start} to {end})")
        return self._store.open(principal.id, _existing(key), start=start, end=end)

    async def list(
        self,
        principal: Principal,
        *,
        origin: Origin | None = None,
        thread: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[FileInfo]:
        """The principal's files, the latest change first.

        Args:
            limit: At most this many, 1 to 1000.
            after: The last key of the page before this one.

        Raises:
            FileNotFound: `after` is no file of the principal.
        """
        if not 1 <= limit <= LIST_MOST:
            raise InvalidInput(f"limit must be 1 to {LIST_MOST} (got {limit})")
        found: list[FileInfo] = []
        async for info in self._store.scan(principal.id, after=None if after is None else _existing(after)):
            if origin in (None, info.origin) and thread in (None, info.thread):
                found.append(info)
                if len(found) == limit:
                    break
        return found

    async def attach(self, principal: Principal, key: str, thread: str) -> FileInfo:
        """Make the file one of `thread`; it leaves the thread that it was in."""
        return await self._store.annotate(principal.id, _existing(key), thread=_checked_thread(thread))

    async def delete(self, principal: Principal, key: str) -> None:
        """Delete the file for good.

        Raises:
            FileNotFound: The principal has no such file.
        """
        await self._store.delete(principal.id, _existing(key))

    async def link(
        self, principal: Principal, key: str, *, seconds: int | None = None, base_url: str | None = None
    ) -> str:
        """An address that gives the content to whoever has it, with no login, for a while.

        Args:
            seconds: How long, up to a week; None: file_storage.link_seconds.
            base_url: Where `/files/link/...` is served; None: as the settings say.

        Raises:
            FileNotFound: The principal has no such file.
        """
        lifetime = self._settings.link_seconds if seconds is None else seconds
        if not 1 <= lifetime <= WEEK_SECONDS:
            raise InvalidInput(f"a link lives 1 to {WEEK_SECONDS} seconds (got {lifetime})")
        info = await self.info(principal, key)
        direct = await self._store.presign(info, lifetime)
        if direct is not None:
            return direct
        token = self._signer.sign(principal.id, key, seconds=lifetime)
        base = await self._host.base_url() if base_url is None else base_url.rstrip("/")
        return f"{base}/files/link/{token}"

    async def resolve_link(self, token: str) -> FileInfo:
        """The file that a link's token stands for; open it as `Principal(info.owner)`.

        Raises:
            LinkExpired, LinkInvalid: The token is too old, or not ours.
            FileNotFound: The file was deleted since.
        """
        owner, key = self._signer.verify(token)
        return await self._store.info(owner, _existing(key))

    async def stats(self, principal: Principal | None = None) -> Usage:
        """How much the principal has stored; None: everybody together."""
        return await self._store.usage(principal.id if principal else None)

    async def check(self) -> Health:
        """Write, read and delete a small file, and look at the free disk."""
        backend = self._settings.backend
        started = time.perf_counter()
        try:
            await self._probe()
            free = (await self._store.room()).free_bytes
        except WaystationError as error:
            return failed(error.detail, backend=backend)
        details = {"backend": backend, "probe_ms": round((time.perf_counter() - started) * 1000, 1)}
        if free is None:
            return healthy(**details)
        details["free_bytes"] = free
        if free < self._settings.low_disk_bytes:
            return degraded(f"only {free // MIB} MiB of disk are free", **details)
        return healthy(**details)

    async def _probe(self) -> None:
        key, content = new_key(), b"waystation"
        await self.put(PROBE, "probe", content, key=key)
        try:
            found = b"".join([chunk async for chunk in self.open(PROBE, key)])
        finally:
            await self.delete(PROBE, key)
        if found != content:
            raise InvalidFile("a file that was written reads differently")

    async def _limited(self, name: str, chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        size, most = 0, self._settings.max_bytes
        async for chunk in chunks:
            size += len(chunk)
            if size > most:
                raise FileTooLarge(f"'{name}' is larger than {most} bytes, the limit file_storage.max_bytes")
            yield chunk


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), CHUNK_BYTES):
        yield data[at : at + CHUNK_BYTES]


def _existing(key: str) -> str:
    """`key`, when a file may have it; what cannot be a key is not found, like any wrong one."""
    if not is_key(key):
        raise FileNotFound(f"no file {key[:80]!r}")
    return key


def _checked_thread(thread: str | None) -> str | None:
    if thread is not None and not is_key(thread):
        raise InvalidFile(f"{thread[:80]!r} cannot be a thread; use 1 to 64 of A-Z a-z 0-9 _ -")
    return thread
