"""What the cache needs of a store."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol


class StoreDown(Exception):
    """The store does not answer, or did not a moment ago."""


class Store(Protocol):
    """Bytes under keys. Every method answers in bounded time or raises StoreDown."""

    @property
    def down_since(self) -> datetime | None:
        """Since when it has not answered; None while it does."""

    async def get(self, key: str) -> Any:
        """The entry, or None."""

    async def put(self, key: str, entry: bytes, *, ttl_s: float) -> None:
        """Keep the entry for `ttl_s` seconds."""

    async def clear(self, prefix: str) -> None:
        """Forget every key that begins with `prefix`."""

    async def ping(self) -> None:
        """Ask whether it answers, also right after a failure."""

    async def close(self) -> None:
        """Give its connections back."""
