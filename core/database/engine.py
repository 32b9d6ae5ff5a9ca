"""The database of a service, SQLite or PostgreSQL: one engine, and the metadata that all our tables share."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Dialect,
    Engine,
    Float,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    event,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine, create_async_engine

from core.database.outage import (
    PING_S,
    STANDBY,
    DatabaseUnavailable,
    answered_within,
    is_given,
    outage,
    outages_told,
)
from core.database.servers import read_url
from core.database.writer import Writer
from core.errors import ConfigInvalid
from core.foreign import as_json, clean_text, from_json
from core.home import make_home, make_private
from core.installed import install_line
from core.settings import Places
from core.settings.platform import StorageSettings

METADATA = MetaData()

# One value that a store cannot hold must break neither a transaction nor a list: see core.foreign.
JSON_OPTIONS: dict[str, Any] = {"json_serializer": as_json, "json_deserializer": from_json}

# A writer waits this long for another; somebody gets an answer within five seconds.
BUSY_MS = 4_000
# What is written stands in the log beside the file; this many pages of it are put into the file at once, so
# that a page which many turns write is not put there for each of them.
LOG_PAGES = 4_000
POOL = 10
# Of SQLite's pages, what one connection keeps; 2,000 by itself.
CACHE_KIB = 1000
# How long a request waits for others who do not get on: to give a connection back, or to write.
POOL_WAIT_S = 3.0
# Between two looks at the database's clock this machine counts the seconds.
CLOCK_S = 10.0
_CLOCK_SQL = "date_part('epoch', clock_timestamp())"
CLOCK: ColumnElement[float] = literal_column(_CLOCK_SQL, Float)
POSTGRES_MISSING = f"storage.url: PostgreSQL needs the extra 'postgres': {install_line('postgres')}"
DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}


def database_url(settings: StorageSettings, places: Places) -> URL:
    """The database of `storage.url`; by default `waystation.db` in WAYSTATION_HOME.

    Raises:
        ConfigInvalid: The URL is not one of SQLite or PostgreSQL, or its driver is not installed.
    """
    if not settings.url:
        return URL.create(DRIVERS["sqlite"], database=str(places.home / "waystation.db"))
    return _given_url("storage.url", settings.url)


def listening_url(settings: StorageSettings) -> URL | None:
    """The address of `storage.listen_url`; None where it is not set.

    Raises:
        ConfigInvalid: It is no URL of PostgreSQL.
    """
    if not settings.listen_url:
        return None
    url = _given_url("storage.listen_url", settings.listen_url)
    if url.get_backend_name() == "sqlite":
        raise ConfigInvalid("storage.listen_url: is for PostgreSQL; leave it out on SQLite")
    return url


def _given_url(key: str, value: str) -> URL:
    try:
        given = read_url(value)
    except ConfigInvalid as error:
        raise ConfigInvalid(f"{key}: {error.detail}") from None
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise ConfigInvalid(f"{key}: is no URL; use sqlite:///PATH or postgresql://…") from None
    name = given.get_backend_name()
    if name == "postgres":
        name = "postgresql"
    if name not in DRIVERS:
        raise ConfigInvalid(
            f"{key}: '{name}' is not supported; use sqlite:///PATH or postgresql://USER@HOST/NAME"
        )
    if name == "sqlite" and not given.database:
        raise ConfigInvalid(f"{key}: names no file; use sqlite:///PATH")
    if "@" in (given.host or ""):
        # What stands before it is a part of the password: not to be shown.
        raise ConfigInvalid(f"{key}: has two @; write one that belongs to the password as %40")
    return given.set(drivername=DRIVERS[name])


def session_of(settings: StorageSettings) -> dict[str, int]:
    """What the settings want of every connection, for `create_engine`."""
    wanted = {
        "statement_timeout": settings.statement_seconds,
        "idle_in_transaction_session_timeout": settings.idle_transaction_seconds,
    }
    return {name: math.ceil(seconds * 1000) for name, seconds in wanted.items() if seconds}


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


class _Connection(AsyncConnection):
    async def start(self, is_ctxmanager: bool = False) -> AsyncConnection:
        # A kept connection is asked for a sign of life first, in less time than it takes to make a new one.
        with outages_told(), nullcontext() if is_given() else answered_within(PING_S):
            while True:
                began = time.monotonic()
                try:
                    return await super().start(is_ctxmanager)
                except NoConnectionFree:
                    # Many who wait are no outage, as long as those before them get what they came for.
                    if not isinstance(self.engine, StoreEngine) or self.engine.given_back < began:
                        raise


class StoreEngine(AsyncEngine):
    """An engine whose errors say DatabaseUnavailable when the database is away (see `core.database.outage`).

    It also knows the database's clock, by which several machines agree on what is over.
    """

    _connection_cls = _Connection

    def __init__(self, sync_engine: Engine, *, session: Mapping[str, int] | None = None) -> None:
        super().__init__(sync_engine)
        # What its connections have for their time, see `core.database.postgres.options_for`.
        self.session = session
        self._read: tuple[float, float] | None = None
        # Device and number of SQLite's file, once somebody has looked.
        self.file: tuple[int, int] | None = None
        self.writer: Writer | None = None
        # When a connection that works was last given back, and when somebody last wrote; monotonic clock.
        self.given_back = 0.0
        self._written = 0.0
        self._writing = asyncio.Lock()
        event.listen(sync_engine, "checkin", self._checked_in)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes. SQLite's are let in one after the other, in the order of their coming.

        SQLite itself lets those who wait look again now and then: of many, some would never find it free.
        """
        if not is_sqlite(self):
            async with super().begin() as db:
                yield db
            return
        await self._my_turn()
        try:
            async with super().begin() as db:
                yield db
            self._written = time.monotonic()
        finally:
            self._writing.release()

    async def _my_turn(self) -> None:
        """Wait for those before, as long as they get on."""
        while True:
            began = time.monotonic()
            try:
                async with asyncio.timeout(POOL_WAIT_S):
                    await self._writing.acquire()
            except TimeoutError:
                if self._written < began:
                    raise DatabaseUnavailable("is held up by other writers") from None
            else:
                return

    async def dispose(self, close: bool = True) -> None:
        """Close every connection; what was handed over to the writer is stored before."""
        if self.writer is not None:
            await self.writer.aclose()
        await super().dispose(close)

    def now(self) -> float:
        """Epoch seconds by the database's clock; by this machine's for SQLite, which is on one machine."""
        if self._read is None:
            return time.time()
        told, at = self._read
        return told + time.monotonic() - at

    def _checked_in(self, connection: object | None, _record: object) -> None:
        if connection is not None:
            self.given_back = time.monotonic()

    def set_clock(self, told: float) -> None:
        """The database has just said what time it is."""
        self._read = told, time.monotonic()

    async def read_clock(self) -> None:
        """Ask the database what time it is, unless it said so a moment ago."""
        if is_sqlite(self) or (self._read and time.monotonic() - self._read[1] < CLOCK_S):
            return
        async with self.connect() as db:
            self.set_clock(float((await db.execute(select(CLOCK))).scalar_one()))


def create_engine(url: URL, *, session: Mapping[str, int] | None = None) -> AsyncEngine:
    """An engine on the database. Close it with `dispose()`.

    Args:
        session: Timeouts of PostgreSQL by name, in milliseconds.

    Raises:
        ConfigInvalid: The driver of the database is not installed.
        DatabaseUnavailable: There can be no file where the URL says.
    """
    engine = _on_sqlite(url) if url.get_backend_name() == "sqlite" else _on_postgres(url, session)
    event.listen(engine.sync_engine, "handle_error", as_outage)
    store = StoreEngine(engine.sync_engine, session=session)
    if not is_sqlite(store):

        def read_clock(connection: Any, _record: object) -> None:
            store.set_clock(_clock_by(connection))

        event.listen(engine.sync_engine, "connect", read_clock)
    return store


def _on_sqlite(url: URL) -> AsyncEngine:
    file = Path(url.database or "")
    try:
        make_home(file.parent)
    except OSError as error:
        why = f"the folder of the database '{file.name}' cannot be made: {error.strerror}"
        reason = f"cannot be made: {error.strerror}"
        detail = f"{why}; mend that, or name another in storage.url"
        raise DatabaseUnavailable(reason, detail=detail) from error
    make_private(file)
    engine = create_async_engine(
        url, pool_timeout=POOL_WAIT_S, connect_args={"factory": RollingBack}, **JSON_OPTIONS
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    return engine


def _on_postgres(url: URL, session: Mapping[str, int] | None) -> AsyncEngine:
    try:
        # Loaded only where it is the database.
        from core.database.postgres import PatientConnection, options_for  # noqa: PLC0415

        return create_async_engine(
            url,
            pool_pre_ping=True,
            pool_size=POOL,
            pool_timeout=POOL_WAIT_S,
            connect_args={**options_for(url, session), "async_creator_fn": PatientConnection.connect},
            **JSON_OPTIONS,
        )
    except ModuleNotFoundError:
        raise ConfigInvalid(POSTGRES_MISSING) from None


def as_outage(context: ExceptionContext) -> DatabaseUnavailable | None:
    """For the event `handle_error` of an engine: what an error of its driver says of the database."""
    if context.is_pre_ping:
        return None  # no answer yet: a new connection is tried instead
    away = outage(context.original_exception)
    if away is not None and away.reason == STANDBY:
        # After a failover the kept connections lead to what is no primary any more.
        context.is_disconnect = True
    return away


def is_sqlite(bind: AsyncEngine | AsyncConnection) -> bool:
    return bind.dialect.name == "sqlite"


def now_of(bind: AsyncEngine | AsyncConnection) -> float:
    """Epoch seconds for what is stored and compared: several machines share a database, not a clock."""
    engine = bind.engine if isinstance(bind, AsyncConnection) else bind
    return engine.now() if isinstance(engine, StoreEngine) else time.time()


def clock_in(db: AsyncConnection) -> ColumnElement[float]:
    """The present time inside of a statement, for leases: by the database's clock, as it stands then."""
    return literal(time.time()) if is_sqlite(db) else CLOCK


async def insert_new(db: AsyncConnection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert the row unless one with its key is there; True when it was inserted."""
    insert = sqlite.insert if is_sqlite(db) else _insert_of_postgresql()
    statement = insert(table).values(**row).on_conflict_do_nothing()
    # Not `rowcount`, which PostgreSQL's driver does not tell here.
    return (await db.execute(statement.returning(*table.primary_key.columns))).first() is not None


def _insert_of_postgresql() -> Any:
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - slow, and not for SQLite

    return postgresql.insert


async def add_new(db: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert those rows whose key is not there yet; nobody waits to hear which."""
    if rows:
        await db.execute(_adding(table, db.dialect.name), [dict(row) for row in rows])


@cache
def _adding(table: Table, dialect: str) -> Any:
    insert = sqlite.insert if dialect == "sqlite" else _insert_of_postgresql()
    return insert(table).on_conflict_do_nothing()


def _clock_by(connection: Any) -> float:
    cursor = connection.cursor()
    cursor.execute(f"SELECT {_CLOCK_SQL}")
    told = float(cursor.fetchone()[0])
    cursor.close()
    connection.rollback()
    return told


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    cursor.execute("PRAGMA synchronous=FULL")
    # Up to fifteen connections read at once, each with pages of its own: the system keeps the file besides.
    cursor.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    cursor.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
    cursor.close()
