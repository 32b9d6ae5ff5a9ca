"""The store on cashews: its memory or Redis backend, for which nobody waits long.

Imported where it is first needed: cashews takes a third of a second.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import cashews
import structlog
from cashews.backends.interface import Backend
from cashews.exceptions import CacheBackendInteractionError

from core.cache.entry import StoreDown
from core.cache.settings import CacheSettings

T = TypeVar("T")
log = structlog.get_logger()

CONNECTIONS = 50
CLEAR_SECONDS = 10.0


class CashewsStore:
    """Bytes under keys; every method answers in bounded time or raises StoreDown.

    After a failure the backend is left alone for a while, then one caller tries.
    """

    def __init__(self, settings: CacheSettings) -> None:
        self._timeout = settings.timeout_s
        self._retry = settings.retry_s
        self._backend = _backend(settings)
        self._try_again = 0.0
        self.down_since: datetime | None = None
        self.reason = ""

    async def open(self) -> None:
        await self._backend.init()  # type: ignore[no-untyped-call]  # cashews leaves it out

    async def close(self) -> None:
        with warnings.catch_warnings():
            # cashews 7.6 closes redis-py 5 and later by a name that is deprecated there.
            warnings.simplefilter("ignore", DeprecationWarning)
            await self._backend.close()  # type: ignore[no-untyped-call]  # as above

    async def get(self, key: str) -> Any:
        return await self._ask(lambda: self._backend.get(key, default=None))

    async def put(self, key: str, entry: bytes, *, ttl_s: float) -> None:
        await self._ask(lambda: self._backend.set(key, entry, expire=ttl_s))

    async def clear(self, prefix: str) -> None:
        await self._ask(lambda: self._backend.delete_match(f"{prefix}*"), seconds=CLEAR_SECONDS)

    async def ping(self) -> None:
        self._try_again = 0.0
        await self._ask(self._backend.ping)

    async def _ask(self, call: Callable[[], Awaitable[T]], *, seconds: float | None = None) -> T:
        now = time.monotonic()
        if self.down_since is not None:
            if now < self._try_again:
                raise StoreDown(self.reason)
            self._try_again = now + self._retry
        try:
            async with asyncio.timeout(seconds or self._timeout):
                answer = await call()
        except (CacheBackendInteractionError, TimeoutError) as error:
            self._failed(error)
            raise StoreDown(self.reason) from error
        self._answered()
        return answer

    def _failed(self, error: Exception) -> None:
        cause = error.__cause__ or error
        self.reason = f"Redis does not answer ({type(cause).__name__})"
        self._try_again = time.monotonic() + self._retry
        if self.down_since is None:
            self.down_since = datetime.now(UTC)
            log.warning("cache_down", reason=self.reason)

    def _answered(self) -> None:
        if self.down_since is not None:
            self.down_since = None
            log.info("cache_up")


def _backend(settings: CacheSettings) -> Backend:
    # Bytes in, bytes out: cashews must never unpickle what somebody else wrote into Redis.
    options: dict[str, Any] = {"pickle_type": "null", "check_repr": False}
    if not settings.remote:
        # Without its sweeper, which would copy every entry once a second; `size` bounds what is over.
        return cashews.Cache().setup("mem://", size=settings.entries, check_interval=0, **options)
    from redis.asyncio.retry import Retry  # noqa: PLC0415 - not for the memory backend
    from redis.backoff import NoBackoff  # noqa: PLC0415

    return cashews.Cache().setup(
        settings.url,
        suppress=False,
        socket_timeout=settings.timeout_s,
        socket_connect_timeout=settings.timeout_s,
        wait_for_connection_timeout=settings.timeout_s,
        max_connections=CONNECTIONS,
        # A connection that Redis closed while it was idle is opened again at once.
        retry=Retry(NoBackoff(), 1),
        **options,
    )
