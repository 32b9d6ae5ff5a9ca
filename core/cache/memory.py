"""Answers kept in this process, a bounded number of them: what was asked for longest ago leaves first."""

from __future__ import annotations

import time
from collections import OrderedDict


class Memory:
    """Bytes under keys, with the methods of a backend of cashews that the store uses.

    Args:
        size: Most entries.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def init(self) -> None:
        """Nothing is opened."""

    async def close(self) -> None:
        self._entries.clear()

    async def get(self, key: str, default: bytes | None = None) -> bytes | None:
        over, value = self._entries.get(key, (0.0, b""))
        if over <= time.monotonic():
            self._entries.pop(key, None)
            return default
        self._entries.move_to_end(key)
        return value

    async def set(self, key: str, value: bytes, *, expire: float) -> None:
        """Keep it for `expire` seconds, if nothing pushes it out."""
        self._entries[key] = (time.monotonic() + expire, value)
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)

    async def delete_match(self, pattern: str) -> None:
        """Forget what begins as the pattern does, which ends in `*`."""
        prefix = pattern.removesuffix("*")
        for key in [key for key in self._entries if key.startswith(prefix)]:
            del self._entries[key]

    async def ping(self) -> bytes:
        return b"PONG"
