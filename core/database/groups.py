"""How a group of units is committed: one connection, used from the writer's thread; here that of SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from core.database.engine import BUSY_MS, JSON_OPTIONS, LOG_PAGES, RollingBack, as_outage
from core.database.outage import DatabaseUnavailable, outage, outages_told
from core.database.units import Fence, Unit, given_up
from core.database.writer import Entry


@dataclass(frozen=True, slots=True)
class Fencing:
    """Where a fence still stands, in the words of a driver.

    Args:
        held: Finds a row for (key, number) on SQLite; keys and numbers for (keys) on PostgreSQL.
        count_held: How many of a JSON list of [key, number] stand; on SQLite.
        all_held: For (how many, keys, numbers): fails with a division by zero where one does not stand.
    """

    held: str
    count_held: str = ""
    all_held: str = ""


class _Direct(AsyncConnection):
    """The connection that a unit's work sees: each statement is done at once, in the writer's thread.

    Args:
        raw: The driver's connection: what stands in its own words is not read by SQLAlchemy first.
    """

    def __init__(self, store: AsyncEngine, core: Connection, raw: Any) -> None:
        super().__init__(store, core)
        self._raw = raw

    async def execute(self, statement: Any, parameters: Any = None, **_: Any) -> Any:
        assert self.sync_connection is not None  # noqa: S101 - an invariant
        return self.sync_connection.execute(statement, parameters)

    async def exec_driver_sql(self, statement: str, parameters: Any = None, *_: Any) -> Any:
        cursor = self._raw.cursor()
        if isinstance(parameters, list):
            cursor.executemany(statement, parameters)
        else:
            cursor.execute(statement, parameters or ())
        return cursor


class Connected:
    """The writer's connection: plain for statements of the driver, SQLAlchemy's for work."""

    def __init__(self, store: AsyncEngine, engine: Engine) -> None:
        self._store = store
        self._core: Connection = engine.connect()
        self.raw: Any = self._core.connection.driver_connection

    def done(self, unit: Unit) -> Any:
        """The result of the unit's work, which has nothing to wait for."""
        assert unit.work is not None  # noqa: S101 - an invariant
        return _run(unit.work(_Direct(self._store, self._core, self.raw)))

    def close(self) -> None:
        self._core.close()


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    raise RuntimeError("what is done in a transaction waits for the database alone")


def engine_of_group(url: URL | str, connect: Any) -> Engine:
    """An engine that leaves transactions to the group."""
    engine = create_engine(url, creator=connect, poolclass=NullPool, **JSON_OPTIONS)
    event.listen(engine, "handle_error", as_outage)
    dialect: Any = engine.dialect
    dialect.do_begin = dialect.do_commit = dialect.do_rollback = _leave
    return engine


def told(error: Exception) -> Exception:
    """A driver's error as that of an outage, or else as SQLAlchemy has it; any other as it is."""
    if away := outage(error):
        return away
    base = next((kind for kind in type(error).__mro__ if kind.__name__ == "Error"), None)
    return DBAPIError.instance("", None, error, base) if base and not isinstance(error, DBAPIError) else error


def _leave(_: object) -> None:
    """A transaction of the group's is neither begun nor ended by a part of it."""


class _Undone(Exception):
    """An entry wrote a part of itself, and failed."""


class SqliteGroup:
    """One transaction, in which each entry is written whole or not at all."""

    def __init__(self, store: AsyncEngine, fencing: Fencing) -> None:
        self._store = store
        self._fencing = fencing
        # Fences that are known to stand within the transaction.
        self._standing: frozenset[Fence] = frozenset()
        self._engine = engine_of_group(store.url.set(drivername="sqlite"), self._open)
        self._now: Connected | None = None
        self.connections = 0

    def commit(self, entries: Sequence[Entry]) -> list[Any]:
        """See `Group.commit`."""
        with outages_told():
            db = self._connected()
            try:
                outcomes, whole = self._tried(db, entries, self._plainly)
            except _Undone:
                outcomes, whole = self._tried(db, entries, self._apart)
        if whole or len(entries) == 1:
            return outcomes
        return [self._alone(entry) for entry in entries]

    def _alone(self, entry: Entry) -> Any:
        try:
            return self.commit([entry])[0]
        except Exception as error:  # noqa: BLE001 - what those before it came to stands
            return told(error)

    def _tried(
        self, db: Connected, entries: Sequence[Entry], how: Callable[[Connected, Entry], Any]
    ) -> tuple[list[Any], bool]:
        """What became of each, and whether that is so: else nothing is written."""
        db.raw.execute("BEGIN IMMEDIATE")
        try:
            self._standing = self._looked_at(db, entries)
            outcomes = [how(db, entry) for entry in entries]
            # SQLite gives a whole transaction up where the disk is full: then each is tried alone.
            whole = db.raw.in_transaction
            if whole:
                db.raw.execute("COMMIT")
        except sqlite3.Error as error:
            outcomes, whole = [told(error)] * len(entries), False
        finally:
            if db.raw.in_transaction:
                db.raw.rollback()
        return outcomes, whole

    def close(self) -> None:
        """See `Group.close`."""
        if self._now is not None:
            self._now.close()
            self._now = None

    def _open(self) -> sqlite3.Connection:
        raw = sqlite3.connect(
            str(self._store.url.database),
            timeout=BUSY_MS / 1000,
            isolation_level=None,
            factory=RollingBack,
            cached_statements=256,
        )
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        # Pages as they were before a savepoint: else SQLite makes a file for each group of more than 64 KB.
        raw.execute("PRAGMA temp_store=MEMORY")
        return raw

    def _connected(self) -> Connected:
        if self._now is None:
            self._now = Connected(self._store, self._engine)
            self.connections += 1
        return self._now

    def _plainly(self, db: Connected, entry: Entry) -> Any:
        """An entry without a savepoint: that costs two statements, and a copy of each page that it changes.

        Raises:
            _Undone: It failed behind its first row: the group is written again, each entry apart.
        """
        has_work = any(unit.work is not None for unit in entry.units)
        # Behind one with which SQLite gave the transaction up, each statement would be a commit of its own.
        if has_work or entry.given_up or not db.raw.in_transaction:
            return self._apart(db, entry)
        changes = db.raw.total_changes
        try:
            return self._entry(db, entry)
        except Exception as error:
            if not db.raw.in_transaction or db.raw.total_changes != changes:
                raise _Undone from error
            return told(error)

    def _apart(self, db: Connected, entry: Entry) -> Any:
        if not db.raw.in_transaction:
            return DatabaseUnavailable("has given up the transaction")
        if entry.given_up:
            return given_up()
        db.raw.execute("SAVEPOINT entry")
        try:
            result = self._entry(db, entry)
        except Exception as error:  # noqa: BLE001 - the others of the group go on
            if db.raw.in_transaction:
                db.raw.execute("ROLLBACK TO entry")
                db.raw.execute("RELEASE entry")
            return told(error)
        db.raw.execute("RELEASE entry")
        return result

    def _entry(self, db: Connected, entry: Entry) -> Any:
        result, checked = None, None
        for unit in entry.units:
            # What an entry took along has its own fence: one look is enough.
            if unit.fence and unit.fence != checked:
                self._check(db, unit.fence)
                checked = unit.fence
            result = self._unit(db, unit)
        return result

    def _looked_at(self, db: Connected, entries: Sequence[Entry]) -> frozenset[Fence]:
        """All fences of a group where all stand: each statement waits for its turn in the process."""
        wanted = frozenset(unit.fence for entry in entries for unit in entry.units if unit.fence)
        if len(wanted) < 2:
            return frozenset()
        pairs = orjson.dumps([(fence.key, fence.number) for fence in wanted]).decode()
        (count,) = db.raw.execute(self._fencing.count_held, (pairs,)).fetchone()
        return wanted if count == len(wanted) else frozenset()

    def _check(self, db: Connected, fence: Fence) -> None:
        if fence in self._standing:
            return
        if db.raw.execute(self._fencing.held, (fence.key, fence.number)).fetchone() is None:
            raise fence.lost()

    def _unit(self, db: Connected, unit: Unit) -> Any:
        if unit.guard is not None and db.raw.execute(*unit.guard).fetchone() is None:
            assert unit.fence is not None  # noqa: S101 - an invariant
            raise unit.fence.lost()
        for sql, rows in unit.statements:
            db.raw.executemany(sql, rows)
        if unit.query is not None:
            return db.raw.execute(*unit.query).fetchall()
        if unit.work is None:
            return None
        # It may take a thread over: who comes behind it in the group is looked at again.
        self._standing = frozenset()
        return db.done(unit)
