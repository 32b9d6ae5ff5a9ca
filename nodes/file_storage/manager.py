"""The files of users: who may touch which, how large they may be, and links that let a tool fetch one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime, timedelta

from core.access import Principal, owner_seen_by
from core.errors import InvalidInput
from core.events import Event
from core.health import Health
from core.observability import Span, file_span, track_duration
from nodes.file_storage.errors import FileNotFound, FileTooLarge, InvalidFile
from nodes.file_storage.events import FileDeleted, FileUploaded
from nodes.file_storage.links import LinkSigner
from nodes.file_storage.models import CHUNK_BYTES, FileInfo, Leftovers, Origin, Usage
from nodes.file_storage.naming import (
    checked_key,
    checked_tags,
    clean_name,
    is_key,
    media_type_of,
    new_key,
)
from nodes.file_storage.order import Spot, spot_of
from nodes.file_storage.ports import FileStore, LinkHost
from nodes.file_storage.probe import PROBE_OWNER, Probe
from nodes.file_storage.retention import Swept, sweep
from nodes.file_storage.settings import WEEK_SECONDS, FileStorageSettings
from nodes.file_storage.totals import Take, Totals

LIST_MOST = 1000
# An upload that was begun so long ago is not going on any more.
STALE_SECONDS = 24 * 3600


class FileManager:
    """Stores, lists, hands out and deletes files; every call is made for a principal.

    A file of somebody else is reported exactly like one that does not exist.

    Args:
        publish: Told of every file that was stored or deleted.
    """

    def __init__(
        self,
        store: FileStore,
        *,
        signer: LinkSigner,
        host: LinkHost,
        settings: FileStorageSettings,
        publish: Callable[[Event], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._signer = signer
        self._host = host
        self._settings = settings
        self._publish = publish
        self._probe = Probe(store, settings)
        self._totals = Totals(store, settings)

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
            StorageFull: More than file_storage.user_files or user_bytes; nothing is kept of it.
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
        with self._operation("put") as span:
            async with (
                self._totals.room(principal.id) as take,
                aclosing(self._limited(kept, chunks, take)) as limited,
            ):
                info = await self._store.put(draft, limited)
                self._totals.added(info)
            span.set(file_size=info.size)
        self._publish(
            FileUploaded(key=info.key, name=info.name, size=info.size, origin=origin, owner=info.owner)
        )
        return info

    async def info(self, principal: Principal, key: str) -> FileInfo:
        """What is known of the file.

        Raises:
            FileNotFound: The principal has no such file.
        """
        return await self._store.info(owner_seen_by(principal), _existing(key))

    def open(
        self, principal: Principal, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The content in chunks; with a range, the bytes from `start` up to and without `end`.

        Raises:
            FileNotFound: The principal has no such file; at the first chunk at the latest.
        """
        if start < 0 or (end is not None and end < 0):
            raise InvalidInput(f"a range begins and ends at 0 or later (got {start} to {end})")
        return self._read(owner_seen_by(principal), _existing(key), start, end)

    async def _read(self, owner: str, key: str, start: int, end: int | None) -> AsyncGenerator[bytes, None]:
        size = 0
        with self._operation("get") as span:
            async with aclosing(self._store.open(owner, key, start=start, end=end)) as chunks:
                async for chunk in chunks:
                    size += len(chunk)
                    yield chunk
            span.set(file_size=size)

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
            after: `cursor_of` the last file of the page before this one: it holds when that file changes or
                goes meanwhile. Its key will do where it has stayed as it was.

        Raises:
            FileNotFound: `after` is no cursor, and no file of the principal.
            InvalidInput: It is a cursor of another list, or none.
        """
        if not 1 <= limit <= LIST_MOST:
            raise InvalidInput(f"limit must be 1 to {LIST_MOST} (got {limit})")
        found: list[FileInfo] = []
        scan = self._store.scan(owner_seen_by(principal), after=_spot(after))
        with self._operation("list") as span:
            async for info in scan:
                if origin in (None, info.origin) and thread in (None, info.thread):
                    found.append(info)
                    if len(found) == limit:
                        break
            span.set(files=len(found))
        return found

    async def attach(self, principal: Principal, key: str, thread: str) -> FileInfo:
        """Make the file one of `thread`; it leaves the thread that it was in."""
        with self._operation("attach"):
            return await self._store.annotate(
                owner_seen_by(principal), _existing(key), thread=_checked_thread(thread)
            )

    async def delete(self, principal: Principal, key: str) -> None:
        """Delete the file for good.

        Raises:
            FileNotFound: The principal has no such file.
        """
        owner = owner_seen_by(principal)
        with self._operation("delete"):
            await self._store.delete(owner, _existing(key))
        self._totals.forget(owner)
        self._publish(FileDeleted(key=key, owner=owner))

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
        with self._operation("link") as span:
            info = await self.info(principal, key)
            span.set(file_size=info.size)
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
        return await self._store.usage(owner_seen_by(principal) if principal else None)

    async def sweep(self, *, swept: Swept) -> None:
        """Delete what the settings call too old, of every owner; for the task queue, not for users.

        It may be stopped at any moment and done again.

        Args:
            swept: Told how many files are gone so far, after each batch.

        Raises:
            Unavailable: The store cannot be used, or some files could not be deleted.
        """

        def gone(info: FileInfo) -> None:
            self._totals.forget(info.owner)
            if info.owner != PROBE_OWNER:
                self._publish(FileDeleted(key=info.key, owner=info.owner))

        with self._operation("sweep"):
            await sweep(self._store, self._settings.keep_days, gone=gone, swept=swept)

    async def reconcile(self, *, older_s: float = STALE_SECONDS, remove: bool = True) -> Leftovers:
        """Find, and with `remove` delete, what killed uploads left behind; for operators, not for users.

        Args:
            older_s: Only what was written longer ago than this, in seconds: an upload may be going on.
        """
        until = datetime.now(UTC) - timedelta(seconds=older_s)
        with self._operation("reconcile"):
            return await self._store.reconcile(until, remove=remove)

    async def check(self) -> Health:
        """Write, read and delete a small file, and look at the free disk and at the bucket's breaker."""
        return await self._probe.check()

    @contextmanager
    def _operation(self, name: str) -> Iterator[Span]:
        with track_duration(f"file_{name}"), file_span(name, backend=self._settings.backend) as span:
            yield span

    async def _limited(
        self, name: str, chunks: AsyncIterable[bytes], take: Take
    ) -> AsyncGenerator[bytes, None]:
        size, most = 0, self._settings.max_bytes
        async for chunk in chunks:
            size += len(chunk)
            take(len(chunk))
            if size > most:
                raise FileTooLarge(f"'{name}' is larger than {most} bytes, the limit file_storage.max_bytes")
            yield chunk


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), CHUNK_BYTES):
        yield data[at : at + CHUNK_BYTES]


def _spot(after: str | None) -> Spot | str | None:
    return None if after is None else spot_of(after) or _existing(after)


def _existing(key: str) -> str:
    """`key`, when a file may have it; what cannot be a key is not found, like any wrong one."""
    if not is_key(key):
        raise FileNotFound(f"no file {key[:80]!r}")
    return key


def _checked_thread(thread: str | None) -> str | None:
    if thread is not None and not is_key(thread):
        raise InvalidFile(f"{thread[:80]!r} cannot be a thread; use 1 to 64 of A-Z a-z 0-9 _ -")
    return thread
