"""Open the signals of a database: by datagrams beside SQLite, by PostgreSQL, or within one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.engine import URL

from core.database.engine import POSTGRES_MISSING
from core.database.replicas import folder_name
from core.errors import ConfigInvalid
from core.settings import Places
from core.signals.signals import NoRelay, Relay, Signals


@asynccontextmanager
async def opened_signals(url: URL, places: Places, *, listen: URL | None = None) -> AsyncIterator[Signals]:
    """Signals among the processes of the database at `url`.

    Opens also when others cannot be reached: `Signals.check` says so, and
    PostgreSQL is tried again for ever.

    Args:
        url: As from `core.database.engine.database_url`.
        places: Processes of an SQLite database find each other in their common home.
        listen: Where LISTEN reaches the database, when `url` leads to a pooler.

    Raises:
        ConfigInvalid: The driver of the database is not installed.
    """
    relay = relay_of(url, places, listen=listen)
    signals = Signals(relay)
    async with relay.opened(signals.wake, signals.wake_all):
        yield signals


def relay_of(url: URL, places: Places, *, listen: URL | None = None) -> Relay:
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
    return PostgresRelay(listen or url, name=folder_name(places), is_direct=listen is not None)


def _in_memory(url: URL) -> bool:
    name = url.database or ":memory:"
    return name in (":memory:", "file::memory:") or url.query.get("mode") == "memory"
