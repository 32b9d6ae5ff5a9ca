"""What health asks of file storage: can a small file be written, listed, read, deleted, and is there room?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from core.errors import WaystationError
from core.health import Health, degraded, failed, healthy
from nodes.file_storage.errors import InvalidFile, StorageRefused, StorageTimedOut
from nodes.file_storage.models import FileInfo
from nodes.file_storage.naming import DEFAULT_MEDIA_TYPE, new_key
from nodes.file_storage.ports import FileStore
from nodes.file_storage.settings import FileStorageSettings

# No user can be called so, which keeps the probe's file out of everybody's lists.
PROBE_OWNER = "\0health"
# Less than the health board waits, so that it is we who say what does not answer.
PROBE_SECONDS = 3.0
CONTENT = b"waystation"
MIB = 1024 * 1024


class Probe:
    """Stores a file as anybody would, so through the policy of the bucket, but tells nobody of it.

    So an open breaker is not passed by, and when it is time to try the bucket
    again, a probe does it also where no user comes. A probe that is given up
    counts for nothing; one that the bucket answers with a failure counts, as
    any user's call would have failed in its place.
    """

    def __init__(
        self, store: FileStore, settings: FileStorageSettings, *, seconds: float = PROBE_SECONDS
    ) -> None:
        self._store = store
        self._settings = settings
        self._seconds = seconds
        # The same each time: what a probe that broke off leaves behind is replaced by the next.
        self._key = new_key()
        self._records_are_kept = False

    async def check(self) -> Health:
        """Failed when nothing works until somebody acts, degraded when a bucket has to come back."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._seconds):
                await self._round()
                free = await self._store.free_bytes()
        except TimeoutError:
            return self._trouble(
                StorageTimedOut(f"{self._settings.place} did not answer within {self._seconds:g} s")
            )
        except WaystationError as error:
            return self._trouble(error)
        details = {**self._details(), "probe_ms": round((time.perf_counter() - started) * 1000, 1)}
        if free is None:
            return healthy(**details)
        details["free_bytes"] = free
        if free < self._settings.low_disk_bytes:
            return degraded(f"only {free // MIB} MiB of disk are free", **details)
        return healthy(**details)

    async def _round(self) -> None:
        put = await self._store.put(self._draft(), _content())
        await self._store.usage(
            PROBE_OWNER
        )  # keys of a bucket may have each of these rights and not the next
        found = b"".join([chunk async for chunk in self._store.open(PROBE_OWNER, self._key)])
        if not self._records_are_kept:
            await self._look_at_its_record(put)
        await self._store.delete(PROBE_OWNER, self._key)
        if found != CONTENT:
            raise InvalidFile("a file that was written reads differently")

    async def _look_at_its_record(self, put: FileInfo) -> None:
        """Once in a process: what speaks a part of S3's protocol may take a record and drop it."""
        if await self._store.info(PROBE_OWNER, self._key) != put:
            raise StorageRefused(
                f"{self._settings.place} does not keep what stands beside a file (its name and tags, as S3's "
                "metadata); keep files elsewhere"
            )
        self._records_are_kept = True

    def _trouble(self, error: WaystationError) -> Health:
        breaker, reason = self._store.breaker(), error.detail
        if breaker is not None and breaker.state != "closed":
            reason = (
                f"{self._settings.place} failed too often ({breaker.reason}); "
                f"its breaker is {breaker.state.replace('_', ' ')} since {breaker.since:%H:%M:%S} UTC"
            )
        # Turns without files go on while a bucket is away. A disk or wrong credentials need somebody.
        passing = bool(self._settings.elsewhere) and error.retryable
        return (degraded if passing else failed)(reason, **self._details())

    def _details(self) -> dict[str, Any]:
        breaker = self._store.breaker()
        found: dict[str, Any] = {"backend": self._settings.backend}
        return found if breaker is None else {**found, "breaker": breaker.as_json()}

    def _draft(self) -> FileInfo:
        now = datetime.now(UTC)
        return FileInfo(self._key, "probe", 0, DEFAULT_MEDIA_TYPE, "", now, "tool", None, {}, PROBE_OWNER)


async def _content() -> AsyncIterator[bytes]:
    yield CONTENT
