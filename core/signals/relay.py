"""What signals need of a way to other processes, and what each such way is made of."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

log = structlog.get_logger()

MOST = 10_000

Heard = Callable[[str], None]
Missed = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Cut:
    """Others are not reached. The reason names no path and no address."""

    since: datetime
    reason: str


class Reach:
    """What a relay knows of itself. It says in the log when it is cut off, once, and when it is back."""

    def __init__(self) -> None:
        self.cut: Cut | None = Cut(datetime.now(UTC), "not open")
        self._told = False

    def lose(self, reason: str) -> None:
        """Others are not reached any more, or still not: then `since` stays."""
        if self._told and self.cut:
            self.cut = Cut(self.cut.since, reason)
            return
        self._told = True
        self.cut = Cut(datetime.now(UTC), reason)
        log.warning("signals_cut_off", reason=reason)

    def gain(self) -> None:
        """Others are reached."""
        self.cut = None
        if self._told:
            self._told = False
            log.info("signals_reach_others")

    def close(self) -> None:
        self.cut = Cut(datetime.now(UTC), "closed")


class NoRelay:
    """A `Relay` where there is no way to others.

    Args:
        reason: Why, for the operator.
    """

    def __init__(self, reason: str) -> None:
        self.cut: Cut | None = Cut(datetime.now(UTC), reason)
        self.details: Mapping[str, Any] = {}

    def send(self, topic: str) -> None:
        """Nobody is there."""

    def opened(self, _heard: object, _missed: object) -> AbstractAsyncContextManager[None]:
        return nullcontext()


class Relay(Protocol):
    """Carries topics to the other processes of a database, and theirs to this one."""

    @property
    def cut(self) -> Cut | None:
        """Since when and why others are not reached; None while they are."""

    @property
    def details(self) -> Mapping[str, Any]:
        """Counts for operators."""

    def send(self, topic: str) -> None:
        """Tell the others. Never waits, never fails, and does nothing unless it is open."""

    def opened(self, heard: Heard, missed: Missed) -> AbstractAsyncContextManager[None]:
        """Receives as long as the block runs.

        Args:
            heard: Called with each topic of another process.
            missed: Called when topics may have been lost.
        """


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
