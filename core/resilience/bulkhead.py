"""How many calls go to one target at once, and how many callers may wait for a place."""

from __future__ import annotations

import asyncio

from anyio import CapacityLimiter, WouldBlock


class Full(Exception):
    """No place was free, and none came in time."""


class Bulkhead:
    """Places for calls; a caller who leaves while he waits gives his place on."""

    def __init__(self, *, at_once: int, queue: int) -> None:
        self._places = CapacityLimiter(at_once)
        self._queue = queue
        self._waiting = 0

    def take(self) -> object | None:
        """A place that is free now, to be given to `leave`; None when there is none."""
        place = object()
        try:
            self._places.acquire_on_behalf_of_nowait(place)
        except WouldBlock:
            return None
        return place

    async def enter(self, until: float) -> object:
        """A place, waited for up to `until` and to be given to `leave`.

        Args:
            until: The loop's time up to which it is waited for.

        Raises:
            Full: As many callers as may wait already do, or the time is over.
        """
        if self._waiting >= self._queue:
            raise Full
        place = object()
        self._waiting += 1
        try:
            async with asyncio.timeout_at(until):
                await self._places.acquire_on_behalf_of(place)
        except TimeoutError:
            raise Full from None
        finally:
            self._waiting -= 1
        return place

    def leave(self, place: object) -> None:
        """Free a place for the next caller."""
        self._places.release_on_behalf_of(place)
