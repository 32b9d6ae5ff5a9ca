"""Loads that are under way: who asks for the same thing meanwhile waits for the same load."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class _Flight:
    task: asyncio.Task[Any]
    waiters: int = field(default=0)


@dataclass(frozen=True, slots=True)
class Landed:
    """What a load gave; whether this caller began it, and whether nobody else still waits for it."""

    value: Any
    first: bool
    last: bool


class Flights:
    """One load per key at a time. A load that nobody waits for any more is cancelled."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight] = {}

    async def join(self, key: Hashable, load: Callable[[], Awaitable[Any]]) -> Landed:
        """What the load of `key` gives; it begins where none is under way.

        Raises:
            Exception: Whatever the load raised, to everybody who waits.
        """
        flight = self._flights.get(key)
        first = flight is None
        if flight is None:
            flight = self._start(key, load)
        flight.waiters += 1
        try:
            # Shielded: one caller that goes away takes nothing from the others.
            value = await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                self._forget(key, flight)
                flight.task.cancel()
        return Landed(value, first, not flight.waiters)

    async def close(self) -> None:
        """Cancel what is under way."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, key: Hashable, load: Callable[[], Awaitable[Any]]) -> _Flight:
        async def fly() -> Any:
            return await load()

        flight = _Flight(asyncio.create_task(fly()))
        self._flights[key] = flight
        flight.task.add_done_callback(lambda task: self._ended(key, flight, task))
        return flight

    def _ended(self, key: Hashable, flight: _Flight, task: asyncio.Task[Any]) -> None:
        self._forget(key, flight)
        if not task.cancelled():
            # Looked at, so that asyncio does not complain where the last waiter went away just before.
            task.exception()

    def _forget(self, key: Hashable, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
