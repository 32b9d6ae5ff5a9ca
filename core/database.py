"""The database of a service, SQLite or PostgreSQL: one engine, and the metadata that all our tables share."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Dialect, MetaData, Table, Text, TypeDecorator, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from core.errors import ConfigInvalid
from core.foreign import as_json, clean_text, from_json
from core.settings import Places
from core.settings.platform import StorageSettings

METADATA = MetaData()

# One value that a store cannot hold must break neither a transaction nor a list: see core.foreign.
_JSON: dict[str, Any] = {"json_serializer": as_json, "json_deserializer": from_json}

BUSY_MS = 15_000
POOL = 10
CONNECT_S = 10
POSTGRES_MISSING = "storage.url: PostgreSQL needs the extra 'postgres': pip install 'waystation[postgres]'"
DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}


def database_url(settings: StorageSettings, places: Places) -> URL:
    """The database of `storage.url`; by default `waystation.db` in WAYSTATION_HOME.

    Raises:
        ConfigInvalid: The URL is not one of SQLite or PostgreSQL, or its driver is not installed.
    """
    if not settings.url:
        return URL.create(DRIVERS["sqlite"], database=str(places.home / "waystation.db"))
    try:
        given = make_url(settings.url)
    except ArgumentError:
        raise ConfigInvalid("storage.url: is no URL; use sqlite:///PATH or postgresql://…") from None
    name = given.get_backend_name()
    if name == "postgres":
        name = "postgresql"
    if name not in DRIVERS:
        raise ConfigInvalid(
            f"storage.url: '{name}' is not supported; use sqlite:///PATH or postgresql://USER@HOST/NAME"
        )
    if name == "sqlite" and not given.database:
        raise ConfigInvalid("storage.url: names no file; use sqlite:///PATH")
    return given.set(drivername=DRIVERS[name])


class ForeignText(TypeDecorator[str]):
    """A column of text that comes from outside: what no database holds is replaced on the way in."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else clean_text(value)


class RollingBack(sqlite3.Connection):
    """Gives its locks back when it is closed.

    Python closes a connection only by half while a cursor of it is alive; SQLite
    then keeps the transaction, and with it the database locked, until the
    cursor is collected.
    """

    def close(self) -> None:
        if self.in_transaction:
            self.rollback()
        super().close()


def create_engine(url: URL) -> AsyncEngine:
    """An engine on the database. Close it with `dispose()`.

    Raises:
        ConfigInvalid: The driver of the database is not installed.
    """
    if url.get_backend_name() == "sqlite":
        Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
        engine = create_async_engine(url, connect_args={"factory": RollingBack}, **_JSON)
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        return engine
    try:
        return create_async_engine(
            url, pool_pre_ping=True, pool_size=POOL, connect_args={"connect_timeout": CONNECT_S}, **_JSON
        )
    except ModuleNotFoundError:
        raise ConfigInvalid(POSTGRES_MISSING) from None


def is_sqlite(bind: AsyncEngine | AsyncConnection) -> bool:
    return bind.dialect.name == "sqlite"


async def insert_new(db: AsyncConnection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert the row unless one with its key is there; True when it was inserted."""
    dialect = sqlite if is_sqlite(db) else postgresql
    statement = dialect.insert(table).values(**row).on_conflict_do_nothing()
    # Not `rowcount`, which PostgreSQL's driver does not tell here.
    return (await db.execute(statement.returning(*table.primary_key.columns))).first() is not None


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
