"""SQLite as an end of a copy."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from core.database.engine import BUSY_MS
from graph.moving.end import End
from graph.moving.rows import CHECKPOINTS, Part, Row


class SqliteEnd(End):
    """A file.

    Args:
        writing: Otherwise nothing in it can change.
    """

    # A reader keeps the log beside the file from being put into it.
    reads_beside = False

    def __init__(self, path: Path, *, writing: bool = False) -> None:
        self._path = path
        mode = "rw" if writing else "ro"
        self._db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
        )
        if writing:
            # What a power cut takes is copied once more: the journal is in the same transaction.
            self._db.execute("PRAGMA synchronous=NORMAL")

    def select(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._db.execute(sql, values).fetchall()

    def run(self, sql: str, *values: Any) -> None:
        self._db.execute(sql, values)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on it holds
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # a full disk has rolled it back already
                self._db.execute("ROLLBACK")
            raise

    def tables(self) -> set[str]:
        return {str(name) for (name,) in self.select("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def read(self, part: Part, *, exact: bool = False) -> Generator[Row, None, None]:
        columns = ", ".join(f'"{name}"' for name in part.columns)
        if part.name == CHECKPOINTS:
            columns = columns.replace('"metadata"', "CAST(metadata AS TEXT)")
        key = ", ".join(f'"{name}"' for name in part.key)
        sql = f"SELECT {columns} FROM {part.name} ORDER BY {key}"  # noqa: S608 - our own names
        yield from self._db.execute(sql)

    def store(self, part: Part, rows: Sequence[Row]) -> None:
        columns = ", ".join(f'"{name}"' for name in part.columns)
        marks = ", ".join("?" * len(part.columns))
        if part.name == CHECKPOINTS:
            marks = marks[:-1] + "CAST(? AS BLOB)"  # as LangGraph's saver has it
        sql = f"INSERT INTO {part.name} ({columns}) VALUES ({marks})"  # noqa: S608 - our own names
        self._db.executemany(sql, rows)

    def clear(self, part: Part) -> None:
        self.run(f"DELETE FROM {part.name}")  # noqa: S608 - our own names

    def settle(self) -> None:
        """A row's number is one more than the largest by itself."""

    def back_up(self, path: Path, told: Callable[[int, int], None], *, pages: int) -> None:
        """Copy the file inside of a snapshot, which keeps what others write meanwhile out of it.

        Args:
            told: Hears how many pages are left of how many.
            pages: So many are copied at a time.
        """
        with closing(sqlite3.connect(path)) as target:
            self._db.backup(target, pages=pages, progress=lambda _, left, whole: told(left, whole), sleep=0)

    def opening(self) -> Callable[[], End]:
        return partial(SqliteEnd, self._path)

    def close(self) -> None:
        self._db.close()
