"""How much one user may have stored together."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from core.access import Principal
from nodes.file_storage.errors import StorageFull
from nodes.file_storage.models import FileInfo, Usage
from nodes.file_storage.ports import FileStore
from nodes.file_storage.settings import FileStorageSettings, QuotaSettings

# Counting reads a record of each file: it is done anew only so often, and reckoned on in between.
FRESH_SECONDS = 60.0
KNOWN_OWNERS = 1_000


# Counts more bytes of an upload that is on its way; raises StorageFull where there is no room for them.
Take = Callable[[int], None]


class Totals:
    """Says of an upload whether its owner has room for it, beside those that are on their way.

    Other processes' uploads are seen at the next count, up to a minute later.
    """

    def __init__(self, store: FileStore, settings: FileStorageSettings) -> None:
        self._store = store
        self._settings = settings
        self._known: OrderedDict[str, tuple[float, Usage]] = OrderedDict()
        self._on_their_way: dict[str, Usage] = {}
        self._counting: dict[str, Usage] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def room(self, principal: Principal, *, at_least: int = 0) -> AsyncIterator[Take]:
        """Room for one more file of the principal within the block, and what counts its bytes as they come.

        Args:
            at_least: So many bytes will come: room for them is taken at once.

        Raises:
            StorageFull: There is no room for another file, or not for so many bytes.
        """
        owner, quota = principal.id, self._settings.quota_of(principal.groups)
        if not quota.files and not quota.bytes:
            yield lambda _: None
            return
        used = await self._used(owner)
        coming = self._on_their_way.get(owner, Usage())
        _may_begin(quota, used, coming)
        self._on_their_way[owner] = _plus(coming, 1, 0)
        came = taken = 0

        def claim(size: int) -> None:
            nonlocal taken
            taken += size
            coming = self._on_their_way[owner] = _plus(self._on_their_way[owner], 0, size)
            _, used = self._known[owner]
            if quota.bytes and used.bytes + coming.bytes > quota.bytes:
                raise _full(used.bytes + coming.bytes, quota.bytes)

        def take(size: int) -> None:
            nonlocal came
            came += size
            if came > taken:
                claim(came - taken)

        try:
            claim(at_least)
            yield take
        finally:
            left = _plus(self._on_their_way.pop(owner), -1, -taken)
            if left.files:
                self._on_their_way[owner] = left

    def added(self, info: FileInfo) -> None:
        """Reckon with a file that was stored."""
        if info.owner in self._known:
            until, used = self._known[info.owner]
            self._known[info.owner] = (until, _plus(used, 1, info.size))
        if info.owner in self._counting:  # the count may have passed its place
            self._counting[info.owner] = _plus(self._counting[info.owner], 1, info.size)

    def forget(self, owner: str) -> None:
        """Count anew at the next upload: something of the owner was deleted.

        Uploads that are on their way go on with what was known: it was no less than there is.
        """
        if owner in self._known:
            self._known[owner] = (0.0, self._known[owner][1])

    async def _used(self, owner: str) -> Usage:
        turn = self._turns.setdefault(owner, asyncio.Lock())
        async with turn:  # an older count must not write over a younger one
            until, used = self._known.get(owner, (0.0, Usage()))
            if time.monotonic() < until:
                return used
            self._counting[owner] = Usage()
            try:
                used = await self._store.usage(owner)
            finally:
                beside = self._counting.pop(owner)
            used = _plus(used, beside.files, beside.bytes)
            self._known[owner] = (time.monotonic() + FRESH_SECONDS, used)
            self._known.move_to_end(owner)
            idle = [known for known in self._known if known != owner and known not in self._on_their_way]
            for known in idle[: max(0, len(self._known) - KNOWN_OWNERS)]:
                del self._known[known]
            return used


def _may_begin(quota: QuotaSettings, used: Usage, coming: Usage) -> None:
    if quota.files and used.files + coming.files >= quota.files:
        raise StorageFull(
            f"you have {used.files} files{_and_coming(coming.files)}; at most {quota.files} are allowed "
            "(file_storage.user_files, or that of your group): delete some"
        )
    if quota.bytes and used.bytes >= quota.bytes:
        raise _full(used.bytes, quota.bytes)


def _full(size: int, most: int) -> StorageFull:
    return StorageFull(
        f"your files would have {size} bytes together; at most {most} are allowed "
        "(file_storage.user_bytes, or that of your group): delete some"
    )


def _plus(usage: Usage, files: int, size: int) -> Usage:
    return Usage(usage.files + files, usage.bytes + size, 1)


def _and_coming(files: int) -> str:
    return f" and {files} more on their way" if files else ""
