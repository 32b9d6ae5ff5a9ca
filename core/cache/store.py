"""The store: memory of this process, or Redis through cashews, for which nobody waits long.

cashews is imported for a Redis alone: with the client, it takes a third of a second and 12 MB.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from core.cache.entry import StoreDown
from core.cache.memory import Memory
from core.cache.settings import CacheSettings

if TYPE_CHECKING:
    from cashews.backends.interface import Backend

T = TypeVar("T")
log = structlog.get_logger()

CONNECTIONS = 50
CLEAR_SECONDS = 10.0


class Store:
    """Bytes under keys; every method answers in bounded time or raises StoreDown.

    After a failure the backend is left alone for a while, then one caller tries.
    """

    def __init__(self, settings: CacheSettings) -> None:
        self._timeout = settings.timeout_s
        self._retry = settings.retry_s
        self._backend, self._errors = _backend(settings)
        self._try_again = 0.0
        self.down_since: datetime | None = None
        self.reason = ""

    async def open(self) -> None:
        await self._backend.init()

    async def close(self) -> None:
        with warnings.catch_warnings():
            # cashews 7.6 closes redis-py 5 and later by a name that is deprecated there.
            warnings.simplefilter("ignore", DeprecationWarning)
            await self._backend.close()

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
        except self._errors as error:
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


def _backend(settings: CacheSettings) -> tuple[Backend | Memory, tuple[type[Exception], ...]]:
    """The backend, and what it raises when it does not answer."""
    if not settings.remote:
        return Memory(settings.entries), (TimeoutError,)
    import cashews  # noqa: PLC0415 - not for the memory backend
    from cashews.exceptions import CacheBackendInteractionError  # noqa: PLC0415
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415

    backend = cashews.Cache().setup(
        settings.url,
        suppress=False,
        socket_timeout=settings.timeout_s,
        socket_connect_timeout=settings.timeout_s,
        wait_for_connection_timeout=settings.timeout_s,
        max_connections=CONNECTIONS,
        # A connection that Redis closed while it was idle is opened again at once.
        retry=Retry(NoBackoff(), 1),
        # Bytes in, bytes out: cashews must never unpickle what somebody else wrote into Redis.
        pickle_type="null",
        check_repr=False,
    )
    return backend, (CacheBackendInteractionError, TimeoutError)
