"""Resources behind the entries of a configuration: a client per model, a session per server.

One is made when its entry is first used. It stays for every edition that has an
equal entry under the same name, and is closed when none is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Generic, TypeVar

E = TypeVar("E")
R = TypeVar("R")


class Kept(Generic[E, R]):
    """Keeps one resource per name and entry.

    Args:
        living: Gives the entries, by name, of each edition that lives.
        make: Makes a resource; cheap, for it is called where one is needed.
        close: Closes one.
    """

    def __init__(
        self,
        living: Callable[[], Iterable[Mapping[str, E]]],
        make: Callable[[str, E], R],
        close: Callable[[R], Awaitable[None]],
    ) -> None:
        self._living = living
        self._make = make
        self._close = close
        self._found: dict[str, list[tuple[E, R]]] = {}

    def get(self, name: str, entry: E) -> R:
        """The resource of this entry."""
        kept = self._found.setdefault(name, [])
        for known, resource in kept:
            if known is entry or known == entry:
                return resource
        resource = self._make(name, entry)
        kept.append((entry, resource))
        return resource

    async def tidy(self) -> None:
        """Close what no living edition has an entry for."""
        living = list(self._living())
        idle: list[R] = []
        for name, kept in list(self._found.items()):
            needed = [entries[name] for entries in living if name in entries]
            idle += [resource for entry, resource in kept if entry not in needed]
            self._found[name] = [(entry, resource) for entry, resource in kept if entry in needed]
        await self._close_all(idle)

    async def aclose(self) -> None:
        """Close everything; one that fails does not keep the others open."""
        found, self._found = self._found, {}
        await self._close_all([resource for kept in found.values() for _, resource in kept])

    async def _close_all(self, resources: list[R]) -> None:
        closing = [asyncio.ensure_future(self._close(resource)) for resource in resources]
        if not closing:
            return
        try:
            await asyncio.wait(closing)
        except asyncio.CancelledError:
            await asyncio.wait(closing)  # each is bounded by itself
            raise
        problems = [problem for one in closing if (problem := one.exception())]
        if problems:
            raise problems[0]
