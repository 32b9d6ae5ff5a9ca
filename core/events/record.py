"""What was published, for tests and notebooks."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from core.events.bus import EventBus
from core.events.subscription import Event

E = TypeVar("E", bound=Event)

_QUEUE = 100_000
_numbers = itertools.count(1)


class Recorded(list[Event]):
    """The events seen so far, oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Condition()

    def of(self, kind: type[E]) -> list[E]:
        """Those of a type and of its subclasses."""
        return [event for event in self if isinstance(event, kind)]

    async def wait_for(self, kind: type[E], count: int = 1, timeout: float = 5) -> list[E]:
        """Return when `count` events of the type have been seen; gives all of the type.

        Raises:
            AssertionError: They were not seen within `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout), self._more:
                await self._more.wait_for(lambda: len(self.of(kind)) >= count)
        except TimeoutError:
            seen = ", ".join(event.what for event in self) or "nothing"
            raise AssertionError(f"{kind.__name__} was not seen {count} times; seen: {seen}") from None
        return self.of(kind)

    async def add(self, event: Event) -> None:
        async with self._more:
            self.append(event)
            self._more.notify_all()


@contextmanager
def record(bus: EventBus, *types: type[Event]) -> Iterator[Recorded]:
    """The events of these types (all without any) that are published inside the block.

    Example:
        with record(bus, FileUploaded) as seen:
            ...
            [event] = await seen.wait_for(FileUploaded)
    """
    seen = Recorded()
    subscription = bus.subscribe(types or (Event,), seen.add, name=f"recorder-{next(_numbers)}", queue=_QUEUE)
    try:
        yield seen
    finally:
        bus.unsubscribe(subscription)
