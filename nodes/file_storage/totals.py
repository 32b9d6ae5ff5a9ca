"""How much one user may have stored together."""

from __future__ import annotations

import time
from collections import OrderedDict

from nodes.file_storage.errors import StorageFull
from nodes.file_storage.models import FileInfo, Usage
from nodes.file_storage.ports import FileStore
from nodes.file_storage.settings import FileStorageSettings

# Counting reads a record of each file: it is done anew only so often, and reckoned on in between.
FRESH_SECONDS = 60.0
KNOWN_OWNERS = 1_000


class Totals:
    """Says before an upload whether its owner has room for it.

    Other processes' uploads are seen at the next count, up to a minute later.
    """

    def __init__(self, store: FileStore, settings: FileStorageSettings) -> None:
        self._store = store
        self._files, self._bytes = settings.user_files, settings.user_bytes
        self._known: OrderedDict[str, tuple[float, Usage]] = OrderedDict()

    async def room(self, owner: str) -> int | None:
        """How many bytes the owner's next file may have; None for any number.

        Raises:
            StorageFull: There is no room for another file.
        """
        if not self._files and not self._bytes:
            return None
        used = await self._used(owner)
        if self._files and used.files >= self._files:
            raise StorageFull(
                f"you have {used.files} files; at most {self._files} are allowed "
                "(file_storage.user_files): delete some"
            )
        if not self._bytes:
            return None
        if used.bytes >= self._bytes:
            raise self.full(used.bytes)
        return self._bytes - used.bytes

    def full(self, size: int) -> StorageFull:
        return StorageFull(
            f"your files would have {size} bytes together; at most {self._bytes} are allowed "
            "(file_storage.user_bytes): delete some"
        )

    def added(self, info: FileInfo) -> None:
        """Reckon with a file that was stored."""
        until, used = self._known.get(info.owner, (0.0, Usage()))
        if until:
            self._known[info.owner] = (until, Usage(used.files + 1, used.bytes + info.size, 1))

    def forget(self, owner: str) -> None:
        """Count anew at the next upload: something of the owner was deleted."""
        self._known.pop(owner, None)

    async def _used(self, owner: str) -> Usage:
        until, used = self._known.get(owner, (0.0, Usage()))
        if time.monotonic() < until:
            return used
        used = await self._store.usage(owner)
        self._known[owner] = (time.monotonic() + FRESH_SECONDS, used)
        self._known.move_to_end(owner)
        while len(self._known) > KNOWN_OWNERS:
            self._known.popitem(last=False)
        return used
