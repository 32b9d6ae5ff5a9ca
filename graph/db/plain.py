"""Statements in a driver's own words, for the writer: rows of a table as it takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from core.database.engine import ForeignText, is_sqlite
from core.foreign import as_json, clean_text


@dataclass(frozen=True, slots=True)
class Inserting:
    """`INSERT` of whole rows of a table; with `new_only` one whose key is there stays as it is."""

    table: Table
    new_only: bool = False

    def into(
        self, engine: AsyncEngine, rows: Iterable[Mapping[str, Any]]
    ) -> tuple[str, Sequence[Sequence[Any]]]:
        """The statement and its rows, for `core.database.writer.Unit`."""
        columns = [column for column in self.table.columns if column.autoincrement is not True]
        names = ", ".join(f'"{column.name}"' for column in columns)
        marks = ", ".join("?" * len(columns))
        known = " ON CONFLICT DO NOTHING" if self.new_only else ""
        sql = f"INSERT INTO {self.table.name} ({names}) VALUES ({marks}){known}"  # noqa: S608 - our own names
        return worded(engine, sql), [
            [_value(column.type, row.get(column.name)) for column in columns] for row in rows
        ]


def worded(engine: AsyncEngine, sql: str) -> str:
    """The statement, in which a question mark stands for each value, as the engine's driver wants it."""
    return sql if is_sqlite(engine) else sql.replace("?", "%s")


def _value(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, JSON):
        return as_json(value)
    return clean_text(value) if isinstance(kind, ForeignText) else value
