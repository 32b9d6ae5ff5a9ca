"""Signals as the rest of the house uses them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
from sqlalchemy.engine import URL

from core.database.engine import POSTGRES_MISSING
from core.database.replicas import folder_name
from core.errors import ConfigInvalid
from core.health import Health, HealthState, healthy
from core.settings import Places
from core.signals.relay import NoRelay, Relay

log = structlog.get_logger()

LONGEST_TOPIC = 200


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

    def send(self, topic: str) -> None:
        """Wake those who listen to the topic. Never waits, never fails.

        Args:
            topic: 1 to 200 printable ASCII characters. Nobody can listen to another one: it goes nowhere.
        """
        if not _fits(topic):
            log.warning("signal_topic_unfit", length=len(topic))
            return
        self._wake(topic)
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
            self._wake(topic)

    async def check(self) -> Health:
        """Degraded while other processes are not reached."""
        details = {"topics": len(self._ears), **self._relay.details}
        if cut := self._relay.cut:
            return Health(HealthState.DEGRADED, cut.reason, cut.since, details)
        return healthy(**details)

    def _wake(self, topic: str) -> None:
        for ear in self._ears.get(topic, ()):
            ear.tell()


@asynccontextmanager
async def opened_signals(url: URL, places: Places) -> AsyncIterator[Signals]:
    """Signals among the processes of the database at `url`.

    Opens also when others cannot be reached: `Signals.check` says so, and
    PostgreSQL is tried again for ever.

    Args:
        url: As from `core.database.engine.database_url`.
        places: Processes of an SQLite database find each other in their common home.

    Raises:
        ConfigInvalid: The driver of the database is not installed.
    """
    relay = relay_of(url, places)
    signals = Signals(relay)
    async with relay.opened(signals._wake, signals.wake_all):
        yield signals


def _fits(topic: str) -> bool:
    return 0 < len(topic) <= LONGEST_TOPIC and topic.isascii() and topic.isprintable()


def relay_of(url: URL, places: Places) -> Relay:
    """The way to the other processes of the database at `url`.

    Raises:
        ConfigInvalid: The driver of the database is not installed.
    """
    if url.get_backend_name() == "sqlite":
        if _in_memory(url):
            return NoRelay("a database in memory has no other processes")
        from core.signals.datagrams import DatagramRelay  # noqa: PLC0415 - each database loads only its own

        return DatagramRelay(places.home / "state")
    try:
        from core.signals.postgres import PostgresRelay  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise ConfigInvalid(POSTGRES_MISSING) from None
    return PostgresRelay(url, name=folder_name(places))


def _in_memory(url: URL) -> bool:
    name = url.database or ":memory:"
    return name in (":memory:", "file::memory:") or url.query.get("mode") == "memory"
