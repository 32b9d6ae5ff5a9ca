"""What is copied, and the form of a row that is the same from both kinds of databases.

A row is a tuple of text, numbers, bytes and None. Our own tables are what `graph.db` declares: JSON is its
text, true is 1. LangGraph's two kinds of savers keep checkpoints differently; here one is as SQLite's
saver has it, with all its values in it, and `graph.moving.sealed` knows the other form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import ormsgpack
from sqlalchemy import JSON, Boolean, Table

from core.database.engine import METADATA
from graph.moving.sealed import comparable

Row = tuple[Any, ...]
BATCH_ROWS = 2000
BATCH_BYTES = 8_000_000
_SUM = 1 << 128

CHECKPOINTS = "checkpoints"
WRITES = "writes"
_DATA = 5


@dataclass(frozen=True, slots=True)
class Part:
    """One table as it is copied, in the order of its key.

    Args:
        json: Columns that hold JSON.
        flags: Columns that hold true or false.
    """

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    json: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()

    def key_of(self, row: Row) -> list[Any]:
        """What comes behind this is not copied yet."""
        return [row[self.columns.index(name)] for name in self.key]

    def packed(self, row: Row) -> bytes:
        """What is hashed of a row: the same on both sides where the two say the same."""
        return comparable(row) if self.name == CHECKPOINTS else ormsgpack.packb(row)

    def weight_of(self, row: Row, data: bytes) -> int:
        """Bytes that a row has, roughly; of a checkpoint only a digest may be compared."""
        return len(row[_DATA]) if self.name == CHECKPOINTS else len(data)


def _declared(table: Table) -> Part:
    return Part(
        table.name,
        tuple(column.name for column in table.columns),
        tuple(column.name for column in table.primary_key),
        frozenset(column.name for column in table.columns if isinstance(column.type, JSON)),
        frozenset(column.name for column in table.columns if isinstance(column.type, Boolean)),
    )


_PLACE = ("thread_id", "checkpoint_ns", "checkpoint_id")
# As LangGraph's SQLite saver declares them.
SAVERS = (
    Part(CHECKPOINTS, (*_PLACE, "parent_checkpoint_id", "type", "checkpoint", "metadata"), _PLACE),
    Part(
        WRITES,
        (*_PLACE, "task_id", "task_path", "idx", "channel", "type", "value"),
        (*_PLACE, "task_id", "idx"),
    ),
)


def parts() -> tuple[Part, ...]:
    """LangGraph's tables, which take longest, and every one of ours."""
    return (*SAVERS, *(_declared(METADATA.tables[name]) for name in sorted(METADATA.tables)))


@dataclass(frozen=True, slots=True)
class Tally:
    """How many rows there were, and their digests added up, so that no order counts."""

    rows: int = 0
    sum: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.rows + other.rows, (self.sum + other.sum) % _SUM)

    @property
    def hex(self) -> str:
        return f"{self.sum:032x}"


def tallies(rows: Iterable[bytes]) -> Iterator[Tally]:
    """Of what is compared of rows, in portions."""
    count = total = 0
    for data in rows:
        total += _number(data)
        count += 1
        if count >= BATCH_ROWS:
            yield Tally(count, total % _SUM)
            count = total = 0
    if count:
        yield Tally(count, total % _SUM)


def _number(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=16).digest(), "big")


def batches(part: Part, rows: Iterable[Row]) -> Iterator[tuple[list[Row], Tally]]:
    """Rows in portions that a transaction and the memory can take, each with its tally."""
    batch: list[Row] = []
    weight = total = 0
    for row in rows:
        data = part.packed(row)
        total += _number(data)
        weight += part.weight_of(row, data)
        batch.append(row)
        if len(batch) >= BATCH_ROWS or weight >= BATCH_BYTES:
            yield batch, Tally(len(batch), total % _SUM)
            batch, weight, total = [], 0, 0
    if batch:
        yield batch, Tally(len(batch), total % _SUM)
