"""A database to copy from or into: what both kinds can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from typing import Any

import orjson

from graph.db.database import COPYING
from graph.moving.rows import Part, Row, Tally

JOURNAL = "waystation_copy"
_MADE = f"CREATE TABLE {JOURNAL} (part TEXT PRIMARY KEY, after TEXT, rows BIGINT, sum TEXT, done INTEGER)"
_SOURCE = ":source"


@dataclass(frozen=True, slots=True)
class Stage:
    """How far a part has got: the key of its last row that is there, and the rows up to it."""

    after: list[Any] | None = None
    tally: Tally = field(default_factory=Tally)
    done: bool = False


class End(ABC):
    """One of the two databases. Everything here blocks.

    Errors of the drivers come through as they are; whoever uses an end knows what was being done.
    """

    @abstractmethod
    def select(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query of ours, in which `?` stands for a value."""

    @abstractmethod
    def run(self, sql: str, *values: Any) -> None:
        """A statement of ours."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[None]:
        """Everything that is read in the block is what stood there at its beginning."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """All that is written in the block is there at its end, or nothing."""

    @abstractmethod
    def tables(self) -> set[str]:
        """Names of the tables that are there."""

    @abstractmethod
    def read(self, part: Part, *, exact: bool = False) -> Generator[Row, None, None]:
        """The rows of a part in the order of their keys, without holding them all.

        Args:
            exact: As they were stored (`graph.moving.sealed`), not with all that one can be read with.
        """

    @abstractmethod
    def store(self, part: Part, rows: Sequence[Row]) -> None:
        """Write rows that are not there yet."""

    @abstractmethod
    def clear(self, part: Part) -> None:
        """Remove every row of a part."""

    @abstractmethod
    def settle(self) -> None:
        """What has to be done behind the last row: numbers that go on where those of the source ended."""

    # Whether it is read while it is written without keeping what was written apart for so long.
    reads_beside = True

    @abstractmethod
    def opening(self) -> Callable[[], End]:
        """Opens another connection to the same database, which only reads; it can be pickled."""

    def again(self) -> End:
        """Another connection to the same database, which only reads."""
        return self.opening()()

    def compared(self, part: Part) -> Generator[bytes, None, None]:
        """What is compared of each row of a part, as it was stored, without holding them all."""
        with closing(self.read(part, exact=True)) as rows:
            for row in rows:
                yield part.packed(row)

    @abstractmethod
    def close(self) -> None:
        """Let go of the database."""

    def has(self, part: Part) -> bool:
        """LangGraph's tables come with the first service, not with the database."""
        return part.name in self.tables()

    def count(self, part: Part) -> int:
        return int(self.select(f"SELECT count(*) FROM {part.name}")[0][0])  # noqa: S608 - our own names

    def revision(self) -> str | None:
        if "alembic_version" not in self.tables():
            return None
        found = self.select("SELECT version_num FROM alembic_version")
        return str(found[0][0]) if found else None

    def begin_journal(self, source: str) -> None:
        """Mark the database as one that a copy of `source` goes into."""
        with self.transaction():
            self.run(_MADE)
            self.run(f"INSERT INTO {JOURNAL} (part, after) VALUES (?, ?)", _SOURCE, source)  # noqa: S608
            self.run("UPDATE alembic_version SET version_num = ?", COPYING)

    def journal(self) -> tuple[str, Mapping[str, Stage]]:
        """Which source the copy is of, and how far each part has got."""
        found = self.select(f"SELECT part, after, rows, sum, done FROM {JOURNAL}")  # noqa: S608
        source = next((str(row[1]) for row in found if row[0] == _SOURCE), "")
        stages = {
            str(name): Stage(orjson.loads(after), Tally(int(rows), int(total, 16)), bool(done))
            for name, after, rows, total, done in found
            if name != _SOURCE
        }
        return source, stages

    def note(self, part: Part, stage: Stage) -> None:
        """Say how far a part has got, in the transaction that wrote its rows."""
        self.run(f"DELETE FROM {JOURNAL} WHERE part = ?", part.name)  # noqa: S608
        self.run(
            f"INSERT INTO {JOURNAL} (part, after, rows, sum, done) VALUES (?, ?, ?, ?, ?)",  # noqa: S608
            part.name,
            orjson.dumps(stage.after).decode(),
            stage.tally.rows,
            stage.tally.hex,
            int(stage.done),
        )

    def end_journal(self, revision: str) -> None:
        """The copy is whole: from now on it is a database like any other."""
        with self.transaction():
            self.settle()
            self.run(f"DROP TABLE {JOURNAL}")
            self.run("UPDATE alembic_version SET version_num = ?", revision)
