"""The end of old files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
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
    store: FileStore,
    keep_days: Mapping[Origin, float],
    *,
    gone: Callable[[FileInfo], Awaitable[None]],
    swept: Swept,
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
    deleted = failed = 0

    async def delete(old: OldFile) -> None:
        nonlocal deleted, failed
        try:
            if not await store.discard(old):
                return
        except WaystationError as error:
            # One that cannot be deleted must not keep the others.
            log.warning("old_file_not_deleted", key=old.info.key, code=error.code)
            failed += 1
            return
        deleted += 1
        await gone(old.info)

    async for batch in _batches(store, until):
        await asyncio.gather(*map(delete, batch))
        await swept(deleted)
    if failed:
        raise StorageUnavailable(f"{failed} old files could not be deleted, {deleted} were")


async def _batches(store: FileStore, until: Mapping[Origin, datetime]) -> AsyncIterator[list[OldFile]]:
    """The files that are older than those of their origin may be, a few at a time; the last may be none."""
    batch: list[OldFile] = []
    async for old in store.unchanged_since(max(until.values())):
        if old.info.origin in until and old.changed < until[old.info.origin]:
            batch.append(old)
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch
