"""The line in front of the database's writer: who goes with the next group, and in which order."""

from __future__ import annotations

import asyncio
from typing import Any

from core.database.units import Fence, Unit

# The largest group: who comes last in it waits for all of it.
AT_MOST = 50
# Of what begins something new, so much goes with a group. Where hundreds come at once, those under way would
# else stand behind all of them at each of their steps, and the first would be done no sooner than the last.
BEGUN_AT_ONCE = 8


class Entry:
    """A unit in the line, with what was handed over before it; its outcome comes into `done`."""

    def __init__(self, unit: Unit, done: asyncio.Future[Any], earlier: list[Unit]) -> None:
        self.unit = unit
        self.done = done
        self.earlier = earlier
        self.is_promise = True
        # Whoever waited has been told that it is not stored: it is not begun any more.
        self.given_up = False

    @property
    def units(self) -> list[Unit]:
        """In the order in which they are written."""
        return [*self.earlier, self.unit]


class Line:
    """Entries that wait: those that hurry, those under way in the order of their coming, those that begin."""

    def __init__(self) -> None:
        self._hurrying: list[Entry] = []
        self._under_way: list[Entry] = []
        self._beginning: list[Entry] = []

    def __len__(self) -> int:
        return len(self._hurrying) + len(self._under_way) + len(self._beginning)

    @property
    def is_full(self) -> bool:
        """Whether a group would have no room for more of one kind or the other."""
        return len(self._beginning) >= BEGUN_AT_ONCE or len(self) >= AT_MOST

    def add(self, entry: Entry) -> None:
        if entry.unit.hurries:
            # What its holder has in the line stays before it.
            before = [each for each in self._under_way if _same_holder(each, entry)]
            self._under_way = [each for each in self._under_way if each not in before]
            self._hurrying += [*before, entry]
        else:
            (self._beginning if entry.unit.begins else self._under_way).append(entry)

    def group(self) -> list[Entry]:
        """The next group, which leaves the line. Some of those that begin are always in it."""
        few = self._beginning[:BEGUN_AT_ONCE]
        room = AT_MOST - len(few)
        first = self._hurrying[:room]
        many = self._under_way[: room - len(first)]
        del self._hurrying[: len(first)], self._under_way[: len(many)], self._beginning[: len(few)]
        return first + many + few

    def without(self, entry: Entry) -> bool:
        """Whether the entry stood here; it does not any more."""
        for entries in (self._hurrying, self._under_way, self._beginning):
            if entry in entries:
                entries.remove(entry)
                return True
        return False

    def next_of(self, fence: Fence) -> Entry | None:
        """The next entry of this holder."""
        going = self._hurrying + self._under_way
        return next((entry for entry in going if entry.unit.fence == fence), None)

    def left(self) -> list[Entry]:
        """All of them, which leave the line."""
        entries = self._hurrying + self._under_way + self._beginning
        self._hurrying, self._under_way, self._beginning = [], [], []
        return entries


def _same_holder(one: Entry, other: Entry) -> bool:
    return one.unit.fence is not None and one.unit.fence == other.unit.fence
