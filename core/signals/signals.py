"""Signals as the rest of the house uses them, and what they need of a way to other processes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

import structlog

from core.health import Health, HealthState, healthy
from core.signals.mail import Mail

log = structlog.get_logger()

LONGEST_TOPIC = 200
MOST = 10_000

T = TypeVar("T", bound=Hashable)
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

    mail = None

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

    @property
    def mail(self) -> Mail | None:
        """Where it carries mail too."""

    def send(self, topic: str) -> None:
        """Tell the others. Never waits, never fails, and does nothing unless it is open."""

    def opened(self, heard: Heard, missed: Missed) -> AbstractAsyncContextManager[None]:
        """Receives as long as the block runs.

        Args:
            heard: Called with each topic of another process.
            missed: Called when topics may have been lost.
        """


class Pending(Generic[T]):
    """Takes topics in and gives them out in the order in which they came, the same one once.

    Args:
        most: Topics that may wait; beyond, the oldest are dropped and counted.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._topics: OrderedDict[T, None] = OrderedDict()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._topics)

    def add(self, topic: T) -> None:
        self._topics[topic] = None
        if len(self._topics) > self._most:
            self._topics.popitem(last=False)
            self.dropped += 1

    def take(self, most: int = MOST) -> list[T]:
        """The oldest, which wait no more."""
        if len(self._topics) <= most:
            taken = list(self._topics)
            self._topics.clear()
            return taken
        return [self._topics.popitem(last=False)[0] for _ in range(most)]

    def put_back(self, topics: Iterable[T]) -> None:
        """They did not get out, and go first."""
        later = list(self._topics)
        self._topics.clear()
        for topic in (*topics, *later):
            self.add(topic)


class Listener:
    """Hears one topic for one listener. Get one by `Signals.listen`."""

    def __init__(self) -> None:
        self._told = asyncio.Event()

    async def heard(self, timeout: float | None = None) -> bool:
        """True once the topic was sent since entering or since the last call; False on timeout.

        Several sends may count as one.

        Args:
            timeout: Seconds to wait; None waits for ever.
        """
        if not self._told.is_set():
            try:
                async with asyncio.timeout(timeout):
                    await self._told.wait()
            except TimeoutError:
                if not self._told.is_set():
                    return False
        self._told.clear()
        return True

    def tell(self) -> None:
        self._told.set()


class Signals:
    """Wakes whoever listens to a topic, in this process at once and in other processes of the same
    database soon after. Get them by `opened_signals`.

    For the event loop's thread only. Before and after it is open it works within this process.
    """

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._ears: dict[str, set[Listener]] = {}

    @property
    def mail(self) -> Mail | None:
        """The mailbox of this process; None where signals have no way to carry mail."""
        return self._relay.mail

    def send(self, topic: str) -> None:
        """Wake those who listen to the topic. Never waits, never fails.

        Args:
            topic: 1 to 200 printable ASCII characters. Nobody can listen to another one: it goes nowhere.
        """
        if not _fits(topic):
            log.warning("signal_topic_unfit", length=len(topic))
            return
        self.wake(topic)
        self._relay.send(topic)

    @contextmanager
    def listen(self, topic: str) -> Iterator[Listener]:
        """Hear the topic for as long as the block runs: what is sent from here on is heard.

        Raises:
            ValueError: The topic is not 1 to 200 printable ASCII characters.
        """
        if not _fits(topic):
            raise ValueError(f"a topic has 1 to {LONGEST_TOPIC} printable ASCII characters: {topic[:80]!a}")
        ear = Listener()
        self._ears.setdefault(topic, set()).add(ear)
        try:
            yield ear
        finally:
            ears = self._ears[topic]
            ears.discard(ear)
            if not ears:
                del self._ears[topic]

    def wake_all(self) -> None:
        """Wake every listener of this process: something may have been missed."""
        for topic in self._ears:
            self.wake(topic)

    async def check(self) -> Health:
        """Degraded while other processes are not reached."""
        details = {"topics": len(self._ears), **self._relay.details}
        if cut := self._relay.cut:
            return Health(HealthState.DEGRADED, cut.reason, cut.since, details)
        return healthy(**details)

    def wake(self, topic: str) -> None:
        """Wake who listens to the topic in this process."""
        for ear in self._ears.get(topic, ()):
            ear.tell()


def _fits(topic: str) -> bool:
    return 0 < len(topic) <= LONGEST_TOPIC and topic.isascii() and topic.isprintable()
