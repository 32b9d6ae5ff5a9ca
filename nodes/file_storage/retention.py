"""The end of old files."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from core.errors import WaystationError
from nodes.file_storage.errors import StorageUnavailable
from nodes.file_storage.models import FileInfo, OldFile, Origin
from nodes.file_storage.ports import FileStore

# Deleted together; few, as users want the store's connections too.
BATCH = 8

Swept = Callable[[int], Awaitable[None]]

log = structlog.get_logger(__name__)


async def sweep(
    store: FileStore, keep_days: Mapping[Origin, float], *, gone: Callable[[FileInfo], None], swept: Swept
) -> None:
    """Delete the files of every owner that did not change for as long as those of their origin are kept.

    Args:
        keep_days: Days by origin; 0 keeps them for ever.
        gone: Told of each file that was deleted.
        swept: Told how many were deleted so far, after each batch.

    Raises:
        Unavailable: The store cannot be read, or some files could not be deleted; the others are.
    """
    now = datetime.now(UTC)
    until = {origin: now - timedelta(days=days) for origin, days in keep_days.items() if days}
    if not until:
        return
    work = _Sweep(store, gone, swept)
    batch: list[OldFile] = []
    async for old in store.unchanged_since(max(until.values())):
        if old.info.origin in until and old.changed < until[old.info.origin]:
            batch.append(old)
        if len(batch) == BATCH:
            await work.delete(batch)
            batch = []
    await work.delete(batch)
    if work.failed:
        raise StorageUnavailable(f"{work.failed} old files could not be deleted, {work.deleted} were")


class _Sweep:
    def __init__(self, store: FileStore, gone: Callable[[FileInfo], None], swept: Swept) -> None:
        self._store = store
        self._gone = gone
        self._swept = swept
        self.deleted = 0
        self.failed = 0

    async def delete(self, batch: Sequence[OldFile]) -> None:
        await asyncio.gather(*map(self._one, batch))
        await self._swept(self.deleted)

    async def _one(self, old: OldFile) -> None:
        try:
            deleted = await self._store.discard(old)
        except WaystationError as error:
            # One that cannot be deleted must not keep the others.
            log.warning("old_file_not_deleted", key=old.info.key, code=error.code)
            self.failed += 1
            return
        if deleted:
            self.deleted += 1
            self._gone(old.info)
