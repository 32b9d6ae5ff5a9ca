"""Lets calls in together, or one that must be alone by itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turnstile:
    """Whoever waits gets in in the order they came, so that nobody waits for ever."""

    def __init__(self) -> None:
        self._inside = 0
        self._taken = False
        self._waiting: deque[tuple[bool, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def inside(self, *, alone: bool) -> AsyncIterator[None]:
        """The block runs beside others, or while nobody else is inside."""
        if self._waiting or not self._free(alone):
            await self._turn(alone)
        else:
            self._enter(alone)
        try:
            yield
        finally:
            self._leave()

    def _free(self, alone: bool) -> bool:
        return not self._taken and not (alone and self._inside)

    def _enter(self, alone: bool) -> None:
        self._inside += 1
        self._taken = alone

    def _leave(self) -> None:
        self._inside -= 1
        self._taken = False
        self._wake()

    async def _turn(self, alone: bool) -> None:
        let_in: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((alone, let_in))
        try:
            await let_in
        except asyncio.CancelledError:
            if let_in.done() and not let_in.cancelled():
                self._leave()
            else:
                self._wake()  # whoever stood behind this one may be next
            raise

    def _wake(self) -> None:
        while self._waiting:
            alone, let_in = self._waiting[0]
            if not let_in.done():
                if not self._free(alone):
                    return
                self._enter(alone)
                let_in.set_result(None)
            self._waiting.popleft()
