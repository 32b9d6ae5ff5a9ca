"""How a group of units is committed on PostgreSQL: in one pipeline."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.database.engine import StoreEngine
from core.database.groups import Connected, Fencing, engine_of_group, told
from core.database.outage import PING_S, outage, outages_told
from core.database.postgres import PatientWriter, options_for
from core.database.servers import driver_address
from core.database.units import Fence, Unit, given_up
from core.database.writer import Entry


class _CutError(Exception):
    """The connection was dead before anything of the group came to the server."""


class _Asking(psycopg.Cursor[Any]):
    """Waits for rows where a statement gives any: SQLAlchemy looks at them at once, pipeline or not."""

    def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        super().execute(query, *args, **options)
        if isinstance(query, str) and (query.startswith("SELECT") or " RETURNING " in query):
            self._fetch_pipeline()
        return self


class PostgresGroup:
    """A group is a round trip, and one more for each statement of work that gives rows."""

    def __init__(self, store: AsyncEngine, fencing: Fencing) -> None:
        self._store = store
        self._fencing = fencing
        self._engine = engine_of_group(store.url, self._open)
        self._now: Connected | None = None
        self.connections = 0
        self._in_doubt = False

    def commit(self, entries: Sequence[Entry]) -> list[Any]:
        """See `Group.commit`."""
        with outages_told():
            try:
                return self._tried(entries)
            except _CutError:
                # The server was started again, or the line cut, while nobody wrote.
                return self._tried(entries)

    def close(self) -> None:
        """See `Group.close`."""
        if self._now is not None:
            self._now.close()
            self._now = None

    def _tried(self, entries: Sequence[Entry]) -> list[Any]:
        kept, began = self._now is not None, time.monotonic()
        db = self._connected()
        try:
            return self._committed(db, entries)
        except Exception as error:
            if db.raw.closed:
                self.close()
                if kept and not self._in_doubt and time.monotonic() - began < PING_S:
                    raise _CutError from error
                raise
            self._give_up(db, error)
            if len(entries) == 1:
                return [told(error)]
        # One of them is to blame: it fails alone.
        return [self._alone(entry) for entry in entries]

    def _alone(self, entry: Entry) -> Any:
        try:
            return self.commit([entry])[0]
        except Exception as error:  # noqa: BLE001 - the others of the group go on
            return told(error)

    def _give_up(self, db: Connected, error: Exception) -> None:
        if outage(error):
            # After a failover it leads to what is no primary any more.
            self.close()
        else:
            db.raw.rollback()

    def _open(self) -> PatientWriter:
        url = self._store.url
        session = self._store.session if isinstance(self._store, StoreEngine) else None
        address = driver_address(url)
        return PatientWriter.connect(address, autocommit=True, **options_for(url, session))

    def _connected(self) -> Connected:
        if self._now is not None and not self._now.raw.is_alive():
            self.close()
        if self._now is None:
            self._now = Connected(self._store, self._engine)
            self.connections += 1
            self._now.raw.cursor_factory = _Asking
        return self._now

    def _committed(self, db: Connected, entries: Sequence[Entry]) -> list[Any]:
        fences = sorted(
            {unit.fence for entry in entries for unit in entry.units if unit.fence},
            key=lambda fence: fence.key,
        )
        try:
            return self._transaction(db, entries, fences)
        except Exception:
            if db.raw.closed or not fences:
                raise
            # Most likely somebody has lost a thread: now each is looked at.
            db.raw.rollback()
            return self._transaction(db, entries, fences, one_by_one=True)

    def _transaction(
        self, db: Connected, entries: Sequence[Entry], fences: Sequence[Fence], *, one_by_one: bool = False
    ) -> list[Any]:
        self._in_doubt = False
        with db.raw.pipeline():
            db.raw.execute("BEGIN")
            lost = self._checked(db, fences, one_by_one=one_by_one) if fences else frozenset[Fence]()
            results, taken = list[Any](), False
            for entry in entries:
                # Work may take a thread over: who comes behind it in the group is checked again.
                mine = {unit.fence for unit in entry.units if unit.fence} if taken else set[Fence]()
                lost |= self._checked(db, list(mine), one_by_one=one_by_one) if mine else frozenset()
                results.append(self._entry(db, entry, lost, look=one_by_one))
                taken = taken or any(unit.work is not None for unit in entry.units)
            # What has no work comes to the same when it is done again.
            self._in_doubt = any(unit.work is not None for entry in entries for unit in entry.units)
            db.raw.execute("COMMIT")
        return [result.fetchall() if isinstance(result, psycopg.Cursor) else result for result in results]

    def _checked(self, db: Connected, fences: Sequence[Fence], *, one_by_one: bool) -> frozenset[Fence]:
        keys = [fence.key for fence in fences]
        if one_by_one:
            found = dict(db.raw.execute(self._fencing.held, [keys]).fetchall())
            return frozenset(fence for fence in fences if found.get(fence.key) != fence.number)
        numbers = [fence.number for fence in fences]
        # Nobody waits for its answer: where it fails, all that follows does.
        psycopg.Cursor(db.raw).execute(self._fencing.all_held, [len(fences), keys, numbers])
        return frozenset()

    def _entry(self, db: Connected, entry: Entry, lost: frozenset[Fence], *, look: bool) -> Any:
        units = entry.units
        for unit in units:
            if unit.fence and (unit.fence in lost or not self._guarded(db, unit, look=look)):
                return unit.fence.lost()
        if entry.given_up:
            return given_up()
        has_work = any(unit.work is not None for unit in units)
        if has_work:
            db.raw.execute("SAVEPOINT entry")
        try:
            return [self._unit(db, unit) for unit in units][-1]
        except (DBAPIError, psycopg.Error):
            raise
        except Exception as error:  # noqa: BLE001 - the others of the group go on
            db.raw.execute("ROLLBACK TO entry")
            return error

    def _guarded(self, db: Connected, unit: Unit, *, look: bool) -> bool:
        """False where the unit is refused; without a look it is found out as a lost fence is."""
        if unit.guard is None:
            return True
        sql, given = unit.guard
        if look:
            return bool(db.raw.execute(sql, given).fetchall())
        psycopg.Cursor(db.raw).execute(f"SELECT 1 / count(*)::int FROM ({sql}) AS found", given)  # noqa: S608 - our own words
        return True

    def _unit(self, db: Connected, unit: Unit) -> Any:
        """Send it; what work comes to, or the cursor of the query."""
        for sql, rows in unit.statements:
            db.raw.cursor().executemany(sql, rows)
        if unit.work is not None:
            return db.done(unit)
        return psycopg.Cursor(db.raw).execute(*unit.query) if unit.query is not None else None
