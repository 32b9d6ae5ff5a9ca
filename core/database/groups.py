"""How a group of units is committed on each database: one connection, used from the writer's thread."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.database.engine import BUSY_MS, JSON_OPTIONS, RollingBack, as_outage, is_sqlite
from core.database.outage import DatabaseUnavailable, outage, outages_told
from core.database.writer import Group, Unit

Entry = Sequence[Unit]
# A connection that was used so lately needs no sign of life.
FRESH_S = 1.0


class _NothingElse(AsyncConnection):
    """The connection that a unit's work sees: each statement is done at once, in the writer's thread."""

    async def execute(self, statement: Any, parameters: Any = None, **_: Any) -> Any:
        assert self.sync_connection is not None  # noqa: S101 - an invariant
        return self.sync_connection.execute(statement, parameters)


class _Connected:
    """The writer's connection: plain for statements of the driver, SQLAlchemy's for work."""

    def __init__(self, store: AsyncEngine, engine: Engine) -> None:
        self._store = store
        self._core: Connection = engine.connect()
        self.raw: Any = self._core.connection.driver_connection

    def done(self, unit: Unit) -> Any:
        """The result of the unit's work, which has nothing to wait for."""
        assert unit.work is not None  # noqa: S101 - an invariant
        return _run(unit.work(_NothingElse(self._store, self._core)))

    def close(self) -> None:
        self._core.close()


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    raise RuntimeError("what is done in a transaction waits for the database alone")


def _engine(url: URL | str, connect: Any) -> Engine:
    """An engine that leaves transactions to the group."""
    engine = create_engine(url, creator=connect, poolclass=NullPool, **JSON_OPTIONS)
    event.listen(engine, "handle_error", as_outage)
    dialect: Any = engine.dialect
    dialect.do_begin = dialect.do_commit = dialect.do_rollback = _leave
    return engine


def _leave(_: object) -> None:
    """A transaction of the group's is neither begun nor ended by a part of it."""


class SqliteGroup:
    """One transaction, with a savepoint for each entry.

    Args:
        held: Finds a row where a fence (key, number) still stands.
    """

    def __init__(self, store: AsyncEngine, held: str) -> None:
        self._store = store
        self._held = held
        self._engine = _engine(store.url.set(drivername="sqlite"), self._open)
        self._now: _Connected | None = None

    def commit(self, entries: Sequence[Entry]) -> list[Any]:
        """See `Group.commit`."""
        with outages_told():
            db = self._connected()
            db.raw.execute("BEGIN IMMEDIATE")
            try:
                outcomes = [self._entry(db, entry) for entry in entries]
                # SQLite gives a whole transaction up where the disk is full: then each is tried alone.
                whole = db.raw.in_transaction
                if whole:
                    db.raw.execute("COMMIT")
            except sqlite3.Error as error:
                outcomes, whole = [outage(error) or error] * len(entries), False
            finally:
                if db.raw.in_transaction:
                    db.raw.rollback()
        if whole or len(entries) == 1:
            return outcomes
        return [self.commit([entry])[0] for entry in entries]

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
        return raw

    def _connected(self) -> _Connected:
        if self._now is None:
            self._now = _Connected(self._store, self._engine)
        return self._now

    def _entry(self, db: _Connected, entry: Entry) -> Any:
        if not db.raw.in_transaction:
            return DatabaseUnavailable("has given up the transaction")
        db.raw.execute("SAVEPOINT entry")
        try:
            result = None
            for unit in entry:
                result = self._unit(db, unit)
        except Exception as error:  # noqa: BLE001 - the others of the group go on
            if db.raw.in_transaction:
                db.raw.execute("ROLLBACK TO entry")
                db.raw.execute("RELEASE entry")
            return outage(error) or error
        db.raw.execute("RELEASE entry")
        return result

    def _unit(self, db: _Connected, unit: Unit) -> Any:
        if unit.fence:
            fence = (unit.fence.key, unit.fence.number)
            if db.raw.execute(self._held, fence).fetchone() is None:
                raise unit.fence.lost()
        for sql, rows in unit.statements:
            db.raw.executemany(sql, rows)
        if unit.query is not None:
            return db.raw.execute(*unit.query).fetchall()
        return db.done(unit) if unit.work is not None else None


class PostgresGroup:
    """One transaction in few round trips: fences first, for all; then what the others write, in a pipeline.

    Args:
        held: Gives key and number of those of a list of keys that are there, locked until the end.
    """

    def __init__(self, store: AsyncEngine, held: str) -> None:
        self._store = store
        self._held = held
        self._engine = _engine(store.url, self._open)
        self._now: _Connected | None = None
        self._used = 0.0

    def commit(self, entries: Sequence[Entry]) -> list[Any]:
        """See `Group.commit`."""
        with outages_told():
            db = self._connected()
            try:
                return self._transaction(db, entries)
            except Exception as error:
                if not self._is_usable(db):
                    raise
                db.raw.rollback()
                if len(entries) == 1:
                    return [outage(error) or error]
        # One of them is to blame: it fails alone.
        return [self._alone(entry) for entry in entries]

    def close(self) -> None:
        """See `Group.close`."""
        if self._now is not None:
            self._now.close()
            self._now = None

    def _alone(self, entry: Entry) -> Any:
        return self.commit([entry])[0]

    def _is_usable(self, db: _Connected) -> bool:
        """False for a connection that broke: it is let go."""
        if not db.raw.closed:
            return True
        self.close()
        return False

    def _open(self) -> Any:
        from core.database.postgres import PatientWriter, options_for  # noqa: PLC0415 - only where it is used

        url = self._store.url
        address = url.set(drivername="postgresql").render_as_string(hide_password=False)
        return PatientWriter.connect(address, autocommit=True, **options_for(url))

    def _connected(self) -> _Connected:
        if self._now is not None and time.monotonic() - self._used > FRESH_S and not self._now.raw.is_alive():
            self.close()
        if self._now is None:
            self._now = _Connected(self._store, self._engine)
        self._used = time.monotonic()
        return self._now

    def _transaction(self, db: _Connected, entries: Sequence[Entry]) -> list[Any]:
        keys = sorted({unit.fence.key for entry in entries for unit in entry if unit.fence})
        results: list[Any] = []
        with db.raw.pipeline():
            db.raw.execute("BEGIN")
            found = dict(db.raw.execute(self._held, [keys]).fetchall()) if keys else {}
            rest = list(entries)
            while rest and not _has_work(rest[0]):
                results.append(self._sent(db, found, rest.pop(0)))
            if not rest:
                db.raw.execute("COMMIT")
        if rest:
            results += [self._step(db, found, entry) for entry in rest]
            db.raw.execute("COMMIT")
        self._used = time.monotonic()
        return [_rows(result) for result in results]

    def _sent(self, db: _Connected, found: dict[str, int], entry: Entry) -> Any:
        """Send what the entry writes: the cursor of its query, or the error of its fence."""
        for unit in entry:
            if unit.fence and found.get(unit.fence.key) != unit.fence.number:
                return unit.fence.lost()
        cursor = None
        for unit in entry:
            for sql, rows in unit.statements:
                db.raw.cursor().executemany(sql, rows)
            cursor = db.raw.execute(*unit.query) if unit.query is not None else None
        return cursor

    def _step(self, db: _Connected, found: dict[str, int], entry: Entry) -> Any:
        """An entry with work, in a savepoint of its own; or one behind it."""
        with db.raw.pipeline():
            db.raw.execute("SAVEPOINT entry")
            result = self._sent(db, found, entry)
        if isinstance(result, Exception) or not _has_work(entry):
            return result
        try:
            return [db.done(unit) for unit in entry if unit.work is not None][-1]
        except Exception as error:
            if not self._is_usable(db):
                raise
            db.raw.execute("ROLLBACK TO entry")
            return outage(error) or error


def _has_work(entry: Entry) -> bool:
    return any(unit.work is not None for unit in entry)


def _rows(result: Any) -> Any:
    return result.fetchall() if hasattr(result, "fetchall") else result


def group_for(store: AsyncEngine, held: str) -> Group:
    """The group of the engine's database."""
    return SqliteGroup(store, held) if is_sqlite(store) else PostgresGroup(store, held)
