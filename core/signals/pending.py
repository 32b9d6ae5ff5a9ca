"""Topics on their way out: equal ones are one, and there is a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

MOST = 10_000


class Pending:
    """Takes topics in and gives them out in the order in which they came.

    Args:
        most: Topics that may wait; beyond, the oldest are dropped and counted.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._topics: OrderedDict[str, None] = OrderedDict()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._topics)

    def add(self, topic: str) -> None:
        self._topics[topic] = None
        if len(self._topics) > self._most:
            self._topics.popitem(last=False)
            self.dropped += 1

    def take(self, most: int = MOST) -> list[str]:
        """The oldest, which wait no more."""
        if len(self._topics) <= most:
            taken = list(self._topics)
            self._topics.clear()
            return taken
        return [self._topics.popitem(last=False)[0] for _ in range(most)]

    def put_back(self, topics: Iterable[str]) -> None:
        """They did not get out, and go first."""
        later = list(self._topics)
        self._topics.clear()
        for topic in (*topics, *later):
            self.add(topic)
