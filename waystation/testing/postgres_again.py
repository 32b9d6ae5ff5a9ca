"""A database that a test leaves is emptied for the next one: to copy a new one writes eight megabytes.

What is not as it was made, but for rows, is dropped: a table more, a right less.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, LiteralString, NamedTuple

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

if TYPE_CHECKING:
    from waystation.testing.postgres import PostgresServer

# PostgreSQL numbers what others make from here on.
_OURS = 16384
_CATALOGUES = (
    *(
        f"pg_{name} WHERE oid >= {_OURS}"
        for name in ("class", "type", "proc", "constraint", "trigger", "attrdef")
    ),
    f"pg_attribute WHERE attrelid >= {_OURS}",
    f"pg_index WHERE indrelid >= {_OURS}",
    *(f"pg_{name} WHERE true" for name in ("namespace", "extension", "policy", "rewrite", "publication")),
    "pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())",
)
# Each row of a catalogue names the transaction that wrote it: a copy has the same ones.
_ROW = "coalesce(sum(hashtext(xmin::text || ctid::text)), 0)"
_MADE = " UNION ALL ".join(
    f"SELECT '{of.split()[0]}' AS of, count(*), {_ROW} FROM {of}"  # noqa: S608 - of ours
    for of in _CATALOGUES
)
_OWN = f"SELECT oid::regclass::text FROM pg_class WHERE oid >= {_OURS} AND "  # noqa: S608 - likewise
_TABLES = f"{_OWN} relkind IN ('r', 'p') AND NOT relispartition"
_SEQUENCES = f"{_OWN} relkind = 'S'"
_PARTITIONS = f"{_OWN} relkind = 'r' AND relispartition"
# Returns when they are gone.
_CUT_OFF = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"


class _New(NamedTuple):
    """What a database is when it is made; `emptied` makes one so again whose `made` is the same."""

    made: list[tuple[object, ...]]
    partitions: set[str]
    rows: dict[str, str]
    emptied: str


class Databases:
    """Those of a server, each of one test at a time."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._free: list[URL] = []
        self._new: _New | None = None

    def take(self) -> URL:
        """One at the newest revision, without a row, under a name that nobody has had."""
        if self._free:
            return self._free.pop()
        url = self._server.create_database()
        if self._new is None:
            with self._opened(url) as db:
                self._new = _looked_at(db)
        return url

    def give_back(self, url: URL) -> None:
        """Whoever is connected still is cut off, and does not find it again."""
        new = self._server.url(f"test_{secrets.token_hex(6)}")
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*map(_name, (url, new)))
        try:
            with self._opened(self._server.url()) as db:
                db.execute(_CUT_OFF, [url.database])
                db.execute(rename)
        except psycopg.errors.ObjectInUse:
            # Somebody comes again and again.
            self._server.drop_database(url)
            return
        if self._is_as_new(new):
            self._free.append(new)
        else:
            self._server.drop_database(new)

    def _is_as_new(self, url: URL) -> bool:
        """Empties it; False where it is not what it was."""
        assert self._new is not None
        with self._opened(url) as db:
            # Every agent makes some, for the hours to come.
            for name in _names(db, _PARTITIONS) - self._new.partitions:
                db.execute(sql.SQL("DROP TABLE {}").format(sql.SQL(name)))
            if db.execute(_MADE).fetchall() != self._new.made:
                return False
            db.execute(self._new.emptied)
            return _rows(db, list(self._new.rows)) == self._new.rows

    def _opened(self, url: URL) -> psycopg.Connection[tuple[object, ...]]:
        dsn = url.set(drivername="postgresql").render_as_string()
        return psycopg.connect(dsn, autocommit=True, connect_timeout=5)


def _name(url: URL) -> sql.Identifier:
    return sql.Identifier(url.database or "")


def _looked_at(db: psycopg.Connection[tuple[object, ...]]) -> _New:
    tables = sorted(_names(db, _TABLES))
    rows = {table: found for table, found in _rows(db, tables).items() if found}
    # Foreign keys would ask for an order.
    statements = ["SET session_replication_role = replica"]
    statements += [f"DELETE FROM {table}" for table in tables if table not in rows]  # noqa: S608
    for name in sorted(_names(db, _SEQUENCES)):
        found = db.execute(f"SELECT last_value, is_called FROM {name}").fetchone()  # noqa: S608
        assert found
        statements.append(f"SELECT setval('{name}', {found[0]}, {str(found[1]).lower()})")
    return _New(db.execute(_MADE).fetchall(), _names(db, _PARTITIONS), rows, "; ".join(statements))


def _names(db: psycopg.Connection[tuple[object, ...]], query: LiteralString) -> set[str]:
    return {str(name) for (name,) in db.execute(query)}


def _rows(db: psycopg.Connection[tuple[object, ...]], tables: Sequence[str]) -> dict[str, str]:
    """What stands in each table; "" for nothing."""
    asked = "SELECT coalesce(string_agg(t::text, ' ' ORDER BY t::text), '') FROM {} t"
    found = {}
    for table in tables:
        row = db.execute(sql.SQL(asked).format(sql.SQL(table))).fetchone()
        assert row
        found[table] = str(row[0])
    return found
