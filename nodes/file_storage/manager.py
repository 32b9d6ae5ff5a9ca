"""The files of users: who may touch which, how large they may be, and links that let a tool fetch one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from core.access import Principal, owner_seen_by
from core.errors import InvalidInput
from core.events import Event
from core.health import Health
from core.observability import Span, file_span, track_duration
from nodes.file_storage.checks import (
    checked_digest,
    checked_thread,
    draft_of,
    existing,
    lifetime,
    pieces,
    spot,
    stored,
    too_large,
)
from nodes.file_storage.errors import FileNotFound, FileTooLarge, NoDirectUploads, StorageFull
from nodes.file_storage.events import FileDeleted
from nodes.file_storage.filters import Filter
from nodes.file_storage.links import LinkSigner
from nodes.file_storage.listings import Listings
from nodes.file_storage.models import DirectUpload, FileInfo, Leftovers, Origin, Usage
from nodes.file_storage.naming import checked_key, clean_name, given_tags, new_key, retagged, without_end
from nodes.file_storage.ports import FileStore, LinkHost
from nodes.file_storage.probe import PROBE_OWNER, Probe
from nodes.file_storage.retention import Swept, sweep
from nodes.file_storage.settings import FileStorageSettings
from nodes.file_storage.totals import Totals

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
        self._listings = Listings(store)

    async def put(
        self,
        principal: Principal,
        name: str,
        data: bytes | AsyncIterable[bytes],
        *,
        media_type: str | None = None,
        origin: Origin = "user",
        thread: str | None = None,
        tags: Mapping[str, str] | Callable[[], Mapping[str, str]] | None = None,
        key: str | None = None,
        at_least: int = 0,
    ) -> FileInfo:
        """Store `data` as a new file, or in place of the one that has `key`.

        Args:
            name: Any text; folders and control characters are taken out.
            data: The content, whole or in chunks as they arrive.
            media_type: None: guessed from the name.
            tags: A function that gives them is asked when the data has ended.
            key: None: a new one. Given: storing twice leaves one file.
            at_least: So many bytes will come: what has no room is refused before they do.

        Raises:
            FileTooLarge: More than file_storage.max_bytes; nothing is kept of it.
            StorageFull: More than file_storage.user_files or user_bytes; nothing is kept of it.
            InvalidFile: The key, thread or tags cannot be accepted.
        """
        plain = draft_of(principal, name, media_type, None if callable(tags) else tags)
        made_key = plain.key if key is None else checked_key(key)
        draft = replace(plain, key=made_key, origin=origin, thread=checked_thread(thread))
        if isinstance(data, bytes):
            at_least, data = len(data), pieces(data)
        if at_least > self._settings.max_bytes:
            raise too_large(draft.name, self._settings.max_bytes)
        with self._operation("put") as span:
            async with self._totals.room(principal, made_key, at_least=at_least) as room:
                before = None if key is None else await self._size_of(draft)
                most = self._settings.max_bytes
                async with aclosing(room.limited(draft.name, data, most=most)) as limited:
                    info = await self._store.put(
                        draft, limited, tags=(lambda: given_tags(tags())) if callable(tags) else None
                    )
                await room.stored(info, before)
            span.set(file_size=info.size)
        self._publish(stored(info))
        return info

    async def info(self, principal: Principal, key: str) -> FileInfo:
        """What is known of the file.

        Raises:
            FileNotFound: The principal has no such file.
        """
        return await self._store.info(owner_seen_by(principal), existing(key))

    def open(
        self, principal: Principal, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The content in chunks; with a range, the bytes from `start` up to and without `end`.

        Raises:
            FileNotFound: The principal has no such file; at the first chunk at the latest.
        """
        if start < 0 or (end is not None and end < 0):
            raise InvalidInput(f"a range begins and ends at 0 or later (got {start} to {end})")
        return self._read(owner_seen_by(principal), existing(key), start, end)

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
        wanted: Filter | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[FileInfo]:
        """The principal's files, the latest change first.

        Args:
            wanted: What they must be beside; `origin` and `thread` may stand in it too.
            limit: At most this many, 1 to 1000.
            after: `cursor_of` the last file of the page before this one: it holds when that file changes or
                goes meanwhile. Its key will do where it has stayed as it was.

        Raises:
            FileNotFound: `after` is no cursor, and no file of the principal.
            InvalidInput: It is a cursor of another list, or none.
        """
        if not 1 <= limit <= LIST_MOST:
            raise InvalidInput(f"limit must be 1 to {LIST_MOST} (got {limit})")
        one, other = wanted or Filter(), Filter(origin, thread)
        found: list[FileInfo] = []
        scan = self._store.scan(owner_seen_by(principal), after=spot(after))
        with self._operation("list") as span:
            async for info in scan:
                if one.takes(info) and other.takes(info):
                    found.append(info)
                    if len(found) == limit:
                        break
            span.set(files=len(found))
        return found

    async def everything(self, principal: Principal) -> Sequence[FileInfo]:
        """All of the principal's files, the latest change first, for lists in another order."""
        with self._operation("list") as span:
            found = await self._listings.of(owner_seen_by(principal))
            span.set(files=len(found))
        return found

    async def tag(
        self, principal: Principal, key: str, tags: Mapping[str, str | None], *,
        replace: bool = False, end: str | None = None,
    ) -> FileInfo:  # fmt: skip
        """Set tags of the file; None takes one away. Of two who change the same tag the last one counts.

        Args:
            replace: These are all that it has then.
            end: When it ends, for `expires_at`, which callers set no more: a task keeps it.

        Raises:
            FileNotFound: The principal has no such file.
            InvalidFile: They are no texts, or too many.
        """
        owner = owner_seen_by(principal)
        with self._operation("tag"):
            before = (await self._store.info(owner, existing(key))).tags
            given = retagged(before, tags, replace=replace, end=end)
            return await self._store.tag(owner, existing(key), given)

    async def copy(
        self,
        principal: Principal,
        key: str,
        *,
        name: str | None = None,
        thread: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> FileInfo:
        """A new file with the same content. The content does not pass through this process.

        Args:
            name: None: the same.
            tags: None: the same, but for an end: that is the first file's own.

        Raises:
            FileNotFound: The principal has no such file.
            StorageFull: There is no room for another file of this size.
        """
        owner = owner_seen_by(principal)
        with self._operation("copy") as span:
            info = await self._store.info(owner, existing(key))
            draft = replace(
                info,
                key=new_key(),
                name=clean_name(name or info.name),
                created=datetime.now(UTC),
                thread=checked_thread(thread),
                tags=without_end(info.tags) if tags is None else given_tags(tags),
                owner=principal.id,
            )
            async with self._totals.room(principal, draft.key, at_least=info.size) as room:
                await room.confirm()
                made = await self._store.copy(owner, key, draft)
                await room.stored(made)
            span.set(file_size=made.size)
        self._publish(stored(made))
        return made

    async def upload_link(
        self,
        principal: Principal,
        name: str,
        *,
        size: int,
        sha256: str,
        media_type: str | None = None,
        tags: Mapping[str, str] | None = None,
        seconds: int | None = None,
    ) -> tuple[FileInfo, DirectUpload]:
        """How a client stores a file in the bucket itself; then it is a file, and `uploaded` tells of it.

        Args:
            size, sha256: Of the content, in bytes and in hex: the bucket takes no other content.
            seconds: How long the link works; None: file_storage.link_seconds.

        Raises:
            FileTooLarge, StorageFull, InvalidFile: As `put`.
            NoDirectUploads: Files are kept in a folder; upload to this service.
        """
        digest = checked_digest(sha256)
        if size > self._settings.max_bytes:
            raise too_large(name, self._settings.max_bytes)
        seconds_left = lifetime(self._settings.link_seconds if seconds is None else seconds)
        draft = replace(draft_of(principal, name, media_type, tags), size=size, etag=digest)
        with self._operation("upload_link"):
            found = await self._store.presign_upload(draft, seconds_left)
            if found is None:
                raise NoDirectUploads("files are kept in a folder here; send the content to POST /files")
            await self._totals.lend(principal, draft.key, size, seconds=seconds_left)
        return draft, found

    async def uploaded(self, principal: Principal, key: str) -> FileInfo:
        """Tell of a file that its client has stored in the bucket itself.

        Raises:
            FileNotFound: It is not there yet.
            StorageFull, FileTooLarge: It came without room kept for it, or is too large; it is deleted.
        """
        info = await self.info(principal, key)
        try:
            await self._totals.arrived(principal, info)
        except (StorageFull, FileTooLarge):
            await self.delete(principal, key)
            raise
        self._publish(stored(info))
        return info

    async def attach(self, principal: Principal, key: str, thread: str) -> FileInfo:
        """Make the file one of `thread`; it leaves the thread that it was in."""
        with self._operation("attach"):
            return await self._store.annotate(
                owner_seen_by(principal), existing(key), thread=checked_thread(thread)
            )

    async def delete(self, principal: Principal, key: str) -> None:
        """Delete the file for good.

        Raises:
            FileNotFound: The principal has no such file.
        """
        owner = owner_seen_by(principal)
        with self._operation("delete"):
            await self._store.delete(owner, existing(key))
        await self._totals.deleted(owner, key)
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
        seconds_left = lifetime(self._settings.link_seconds if seconds is None else seconds)
        with self._operation("link") as span:
            info = await self.info(principal, key)
            span.set(file_size=info.size)
            if (direct := await self._store.presign(info, seconds_left)) is not None:
                return direct
            token = self._signer.sign(principal.id, key, seconds=seconds_left)
            base = await self._host.base_url() if base_url is None else base_url.rstrip("/")
            return f"{base}/files/link/{token}"

    async def resolve_link(self, token: str) -> FileInfo:
        """The file that a link's token stands for; open it as `Principal(info.owner)`.

        Raises:
            LinkExpired, LinkInvalid: The token is too old, or not ours.
            FileNotFound: The file was deleted since.
        """
        owner, key = self._signer.verify(token)
        return await self._store.info(owner, existing(key))

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

        async def gone(info: FileInfo) -> None:
            await self._totals.deleted(info.owner, info.key)
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

    async def _size_of(self, draft: FileInfo) -> int | None:
        """Of the file that the draft comes in place of; None where there is none."""
        with suppress(FileNotFound):
            return (await self._store.info(draft.owner, draft.key)).size
        return None
