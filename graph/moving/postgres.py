"""PostgreSQL as an end of a copy: rows go in by COPY, and out by a cursor that the server keeps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
from sqlalchemy.engine import URL

from core.database.postgres import options_for
from core.database.reaching import connected_now
from core.database.servers import driver_address
from graph.moving.end import End
from graph.moving.rows import CHECKPOINTS, WRITES, Part, Row
from graph.moving.sealed import Said, apart, compared, said_of, together

# Rows that the driver asks the server for at a time.
FETCHED = 500
_BLOBS = "checkpoint_blobs"
# Values of a checkpoint that stand beside it, each as name, type and bytes.
_CHECKPOINTS = """
SELECT thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint::text, metadata::text, (
    SELECT array_agg(array[convert_to(b.channel, 'UTF8'), convert_to(b.type, 'UTF8'), b.blob])
    FROM jsonb_each_text(c.checkpoint -> 'channel_versions') AS v
    JOIN checkpoint_blobs b ON b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns
    AND b.channel = v.key AND b.version = v.value)
FROM checkpoints c
"""
# For comparing, each value is read once, however many checkpoints have it.
_BESIDE = """
SELECT b.thread_id, b.checkpoint_ns, b.channel, b.version, b.type, b.blob
FROM unnest(%s::text[], %s::text[]) AS p (thread_id, checkpoint_ns)
JOIN checkpoint_blobs b USING (thread_id, checkpoint_ns)
"""
# A table that was just filled has no statistics; read whole for each portion it would take for ever.
_BY_INDEX = (
    "SET LOCAL enable_seqscan = off",
    "SET LOCAL enable_hashjoin = off",
    "SET LOCAL enable_mergejoin = off",
)
_IN = {
    CHECKPOINTS: "thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata",
    WRITES: "thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob",
    _BLOBS: "thread_id, checkpoint_ns, channel, version, type, blob",
}
_NEW_BLOBS = (
    f"INSERT INTO {_BLOBS} ({_IN[_BLOBS]}) SELECT {_IN[_BLOBS]} FROM copied_blobs"  # noqa: S608 - our own names
    " ON CONFLICT DO NOTHING"
)
_PLACES = {WRITES: "checkpoint_writes"}
_NUMBERS = """
SELECT setval(
    pg_get_serial_sequence('transcript', 'seq'), (SELECT coalesce(max(seq), 0) + 1 FROM transcript), false)
"""


@contextmanager
def server_cursor(db: psycopg.Connection[Any], name: str) -> Iterator[psycopg.ServerCursor[Any]]:
    """A cursor of the server, closed in the end also where its connection was cut meanwhile."""
    cursor = psycopg.ServerCursor(db, name)
    try:
        yield cursor
    finally:
        try:
            cursor.close()
        except psycopg.OperationalError:
            cursor.close()  # now its connection is known to be gone, and nothing is asked of it


class PostgresEnd(End):
    """A database of a server.

    Args:
        url: `postgresql+psycopg://...`.
        writing: Otherwise nothing in it can change.
    """

    def __init__(self, url: URL, *, writing: bool = False) -> None:
        self._url = url
        plain = driver_address(url)
        self._db = connected_now(psycopg.connect, plain, autocommit=True, **options_for(url))
        self._thread = ""
        self._seen: set[tuple[str, str, str]] = set()
        if writing:
            # What a crash of the server takes is copied once more: the journal is in the same transaction.
            self._db.execute("SET synchronous_commit = off")
            self._db.execute(
                "CREATE TEMPORARY TABLE copied_blobs (thread_id text, checkpoint_ns text, channel text,"
                " version text, type text, blob bytea) ON COMMIT DELETE ROWS"
            )
        else:
            self._db.execute("SET default_transaction_read_only = on")

    def select(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._db.execute(_worded(sql), values).fetchall()

    def run(self, sql: str, *values: Any) -> None:
        self._db.execute(_worded(sql), values)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with self._db.transaction():
            self._db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            with self._db.transaction():
                yield
        except BaseException:
            self._seen.clear()  # what was not committed is not there
            raise

    def tables(self) -> set[str]:
        found = {
            str(row[0])
            for row in self.select(
                "SELECT tablename FROM pg_tables WHERE schemaname = ANY(current_schemas(false))"
            )
        }
        return found | {name for name, here in _PLACES.items() if here in found}

    def count(self, part: Part) -> int:
        place = _PLACES.get(part.name, part.name)
        return int(self.select(f"SELECT count(*) FROM {place}")[0][0])  # noqa: S608 - our own names

    def read(self, part: Part, *, exact: bool = False) -> Generator[Row, None, None]:
        key = ", ".join(f'"{name}"' for name in part.key)
        with self._db.transaction(), server_cursor(self._db, "copied") as cursor:
            cursor.itersize = FETCHED
            cursor.execute(f"{self._selected(part)} ORDER BY {key}", binary=True)
            if part.name == CHECKPOINTS:
                for *row, blobs in cursor:
                    yield together(row, blobs or (), exact=exact)
            else:
                yield from cursor

    def compared(self, part: Part) -> Generator[bytes, None, None]:
        if part.name == CHECKPOINTS:
            yield from self._compared_checkpoints(part)
        else:
            yield from super().compared(part)

    def _compared_checkpoints(self, part: Part) -> Generator[bytes, None, None]:
        columns, key = (
            f"{_IN[CHECKPOINTS]}::text".replace("checkpoint,", "checkpoint::text,"),
            ", ".join(part.key),
        )
        with self._db.transaction(), server_cursor(self._db, "copied") as cursor:
            for statement in _BY_INDEX:
                self._db.execute(statement)
            cursor.execute(f"SELECT {columns} FROM {CHECKPOINTS} ORDER BY {key}", binary=True)  # noqa: S608
            known: dict[Any, Said] = {}
            while rows := cursor.fetchmany(FETCHED):
                here = {row[:2] for row in rows}
                known = {place: said for place, said in known.items() if place in here}
                self._learn(known, here - known.keys())
                for row in rows:
                    yield compared(row, known[row[:2]])

    def _learn(self, known: dict[Any, Said], places: Collection[tuple[str, str]]) -> None:
        """What the values beside the checkpoints of these threads say: a few bytes of each."""
        if not places:
            return
        known.update((place, {}) for place in places)
        with server_cursor(self._db, "beside") as cursor:
            cursor.itersize = FETCHED
            cursor.execute(_BESIDE, [list(each) for each in zip(*places, strict=True)], binary=True)
            for thread, space, channel, version, kind, blob in cursor:
                known[thread, space][channel, version] = said_of(kind, blob)

    def _selected(self, part: Part) -> str:
        if part.name == CHECKPOINTS:
            return _CHECKPOINTS
        columns = ", ".join(_out(part, name) for name in part.columns)
        return f"SELECT {columns} FROM {_PLACES.get(part.name, part.name)}"  # noqa: S608 - our own names

    def store(self, part: Part, rows: Sequence[Row]) -> None:
        if part.name == CHECKPOINTS:
            self._store_checkpoints(rows)
            return
        columns = _IN.get(part.name) or ", ".join(f'"{name}"' for name in part.columns)
        self._copy(_PLACES.get(part.name, part.name), columns, rows)

    def _store_checkpoints(self, rows: Sequence[Row]) -> None:
        told, beside = [], []
        for row in rows:
            checkpoint, blobs = apart(row)
            told.append(checkpoint)
            beside += [(row[0], row[1], *blob) for blob in blobs if self._is_new(row[0], row[1], *blob[:2])]
        self._copy(CHECKPOINTS, _IN[CHECKPOINTS], told)
        if beside:
            self._copy("copied_blobs", _IN[_BLOBS], beside)
            # A copy that goes on does not know which of them it has written before.
            self._db.execute(_NEW_BLOBS)
            self._db.execute("TRUNCATE copied_blobs")

    def _is_new(self, thread: str, space: str, channel: str, version: str) -> bool:
        """Checkpoints come thread by thread, and share most values with those before."""
        if thread != self._thread:
            self._thread = thread
            self._seen.clear()
        found = (space, channel, version)
        if found in self._seen:
            return False
        self._seen.add(found)
        return True

    def _copy(self, place: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
        with self._db.cursor() as cursor, cursor.copy(f"COPY {place} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def clear(self, part: Part) -> None:
        self.run(f"DELETE FROM {_PLACES.get(part.name, part.name)}")  # noqa: S608 - our own names
        if part.name == CHECKPOINTS:
            self.run(f"DELETE FROM {_BLOBS}")  # noqa: S608 - our own names

    def settle(self) -> None:
        self.select(_NUMBERS)

    def opening(self) -> Callable[[], End]:
        return partial(PostgresEnd, self._url)

    def close(self) -> None:
        self._db.close()


def _out(part: Part, name: str) -> str:
    """A column as text or number: JSON keeps its spelling, true is 1."""
    if name in part.json:
        return f'"{name}"::text'
    if name in part.flags:
        return f'"{name}"::int'
    return 'blob AS "value"' if part.name == WRITES and name == "value" else f'"{name}"'


def _worded(sql: str) -> str:
    return sql.replace("?", "%s")
