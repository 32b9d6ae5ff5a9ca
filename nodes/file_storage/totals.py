"""How much one user may have stored together, whichever process takes it in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from weakref import WeakValueDictionary

import structlog

from core.access import Principal
from core.errors import Unavailable, WaystationError
from core.holder import alive, is_known_dead, new_holder
from nodes.file_storage.accounts import (
    COUNTED_SECONDS,
    LEASE_SECONDS,
    LINK_SECONDS,
    Account,
    Coming,
    account_from,
    link_token,
)
from nodes.file_storage.checks import too_large
from nodes.file_storage.errors import StorageFull, StorageUnavailable
from nodes.file_storage.models import FileInfo
from nodes.file_storage.ports import FileStore
from nodes.file_storage.settings import FileStorageSettings, QuotaSettings

# Files are counted anew sooner than else where somebody would be refused.
FRESH_SECONDS = 60.0
# How often others are told that an upload goes on.
RENEW_SECONDS = 20.0
TRIES = 5

log = structlog.get_logger(__name__)


class Totals:
    """Says of an upload whether its owner has room for it, beside those that are on their way.

    Every process of one folder, or of one bucket, reads and changes the same record of an owner. Machines
    that share a bucket need clocks that agree to within a minute.

    Args:
        clock: Epoch seconds.
    """

    def __init__(
        self, store: FileStore, settings: FileStorageSettings, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._settings = settings
        self.now = clock
        # Of stores that keep no notes.
        self._notes: dict[str, bytes] = {}
        # Owners of whom something was deleted while their record could not be written.
        self._untold: set[str] = set()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def room(self, principal: Principal, key: str, *, at_least: int = 0) -> AsyncIterator[Room]:
        """Room for one more file of the principal within the block.

        Args:
            at_least: So many bytes will come: room for them is taken at once.

        Raises:
            StorageFull: There is no room for another file, or not for so many bytes.
        """
        quota = self._settings.quota_of(principal.groups)
        if not quota.files and not quota.bytes:
            yield Room()
            return
        with alive(new_holder()) as token:
            room = HeldRoom(self, principal.id, quota, key, token)
            await room.take(at_least)
            renewing = asyncio.create_task(room.renew())
            try:
                yield room
            except BaseException as error:
                if not room.is_over:
                    await self._let_go(principal.id, token, left_nothing=room.left_nothing(error))
                raise
            finally:
                renewing.cancel()

    async def lend(self, principal: Principal, key: str, size: int, *, seconds: int) -> None:
        """Keep room for a file that its client may store itself, as long as it may.

        Raises:
            StorageFull: There is none.
        """
        quota = self._settings.quota_of(principal.groups)
        if quota.files or quota.bytes:
            until = self.now() + seconds + LINK_SECONDS
            await self.hold(principal.id, quota, link_token(key), Coming(key, size, until))

    async def arrived(self, principal: Principal, info: FileInfo) -> None:
        """Judge a file that its client has stored itself.

        Raises:
            StorageFull: It came when its room was not kept any more, or is larger than that, and there is no
                other.
            FileTooLarge: Larger than any file may be.
        """
        quota, token = self._settings.quota_of(principal.groups), link_token(info.key)
        account = await self.change(info.owner, lambda found: found)
        lent, now = account.coming.get(token), self.now()
        if lent is None:  # a file like any other, which may be from a time of larger files
            await self.deleted(info.owner, info.key)
        elif info.size > self._settings.max_bytes:
            raise too_large(info.name, self._settings.max_bytes)
        elif lent.until <= now or info.size > lent.size:
            until = now + LINK_SECONDS
            await self.change(info.owner, lambda found: found.revived(token, until))
            try:
                await self.hold(info.owner, quota, token, Coming(info.key, info.size, until))
            except StorageFull as error:
                await self._let_go(info.owner, token, left_nothing=True)
                why = "this one came without room kept for it, and was deleted"
                raise StorageFull(f"{error.detail}; {why}") from None

    async def deleted(self, owner: str, key: str) -> None:
        """Reckon no more with the totals: something was deleted, or stored past us."""
        try:
            await self.change(owner, lambda found: found.deleted(key))
        except WaystationError:
            self._untold.add(owner)

    async def hold(self, owner: str, quota: QuotaSettings, token: str, one: Coming) -> int:
        """Keep so many bytes free for a file on its way, in all; says how many there are for it then."""
        try:
            return await self._held(owner, quota, token, one, COUNTED_SECONDS)
        except StorageFull:
            return await self._held(owner, quota, token, one, FRESH_SECONDS)

    async def change(self, owner: str, change: Callable[[Account], Account]) -> Account:
        """Change what is known of an owner, alone among all processes; gives what it is then."""
        made = Account()
        doubted = owner in self._untold

        def changed(written: bytes) -> bytes:
            nonlocal made
            before = account_from(written)
            known = before.doubted() if doubted else before
            made = change(known.swept(self.now(), is_known_dead))
            return written if made == before else made.written()

        if not await self._store.change_note(owner, changed):
            self._notes[owner] = changed(self._notes.get(owner, b""))
        if doubted:
            self._untold.discard(owner)
        return made

    async def _held(self, owner: str, quota: QuotaSettings, token: str, one: Coming, most_old: float) -> int:
        def holding(account: Account) -> Account:
            now = self.now()
            old = now - account.counted > most_old
            return account if old else account.holding(token, one, quota, now)

        for _ in range(TRIES):
            account = await self.change(owner, holding)
            if self.now() - account.counted <= most_old:
                return account.coming[token].size
            await self._count(owner, most_old)
        raise StorageUnavailable("your files change faster than they are counted; try again later")

    async def _count(self, owner: str, most_old: float) -> None:
        turn = self._turns.setdefault(owner, asyncio.Lock())
        async with turn:
            account = await self.change(owner, lambda found: found)
            if self.now() - account.counted <= most_old:  # by the one before
                return
            with alive(new_holder()) as token:
                until = self.now() + COUNTED_SECONDS
                await self.change(owner, lambda found: found.begins_count(token, until))
                sizes = await self._store.sizes(owner)
                await self.change(owner, lambda found: found.counted_as(token, sizes, self.now()))

    async def _let_go(self, owner: str, token: str, *, left_nothing: bool) -> None:
        # Where this fails too, the room is given back when nothing is heard of the upload any more.
        with suppress(WaystationError):
            await self.change(owner, lambda found: found.given_up(token, left_nothing=left_nothing))


class Room:
    """What is kept free for one upload while it goes on; for who may have any number of bytes."""

    # All of it has come, and may be there whatever is told of it. It is there, or will never be.
    is_whole = is_over = False

    async def limited(
        self, name: str, chunks: AsyncIterable[bytes], *, most: int
    ) -> AsyncGenerator[bytes, None]:
        """The chunks, as long as there is room for them.

        Args:
            most: Bytes that a file may have.

        Raises:
            FileTooLarge, StorageFull: There are more of them.
        """
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if size > most:
                raise too_large(name, most)
            await self.take(size)
            yield chunk
        await self.confirm()

    def left_nothing(self, error: BaseException) -> bool:
        """Whether an upload that ended so is not there for certain.

        A store that does not answer may have it, and a thread that nobody waits for any more goes on.
        """
        refused = isinstance(error, WaystationError) and not isinstance(error, Unavailable)
        return refused or not self.is_whole

    async def take(self, size: int) -> None:
        """Keep so many bytes free for it in all."""

    async def confirm(self) -> None:
        """All of it has come: what was kept free for it has to be still."""
        self.is_whole = True

    async def stored(self, info: FileInfo, before: int | None = None) -> None:
        """It is there.

        Args:
            before: The size of the file in whose place it is.
        """


class HeldRoom(Room):
    """Room that others are told of."""

    def __init__(self, totals: Totals, owner: str, quota: QuotaSettings, key: str, token: str) -> None:
        self._totals = totals
        self._at = owner, quota, token
        self._key = key
        self._held = -1
        self._came = 0
        self._until = 0.0

    async def take(self, size: int) -> None:
        self._came = size
        if size > self._held:
            await self._hold(size)

    async def confirm(self) -> None:
        await super().confirm()
        if self._totals.now() >= self._until:  # this process was stopped, or its store away
            await self._hold(self._came)

    async def stored(self, info: FileInfo, before: int | None = None) -> None:
        owner, _, token = self._at
        self.is_over = True
        try:
            await self._totals.change(
                owner, lambda found: found.stored(token, info.key, size=info.size, before=before)
            )
        except WaystationError as error:
            # It is stored, and is found by the count that follows the end of its room.
            log.warning("stored_file_not_counted", key=info.key, code=error.code)

    async def renew(self) -> None:
        """Let others know that the upload goes on, for as long as it does."""
        owner, _, token = self._at
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            until = self._totals.now() + LEASE_SECONDS
            with suppress(WaystationError):
                account = await self._totals.change(owner, partial(Account.renewed, token=token, until=until))
                self._until = until if token in account.coming else 0.0

    async def _hold(self, size: int) -> None:
        owner, quota, token = self._at
        until = self._totals.now() + LEASE_SECONDS
        self._held = await self._totals.hold(owner, quota, token, Coming(self._key, size, until))
        self._until = until
