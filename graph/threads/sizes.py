"""Which thread takes how much: in checkpoints, values, transcript, runs and files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import inspect, select, text
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from core.database.engine import is_sqlite
from graph.db.tables import threads
from nodes.file_storage.ports import FileStore

KINDS = ("checkpoints", "values", "transcript", "runs", "files")

# Per kind: table and what of a row is counted. SQLite tells a value's length without reading it,
# PostgreSQL its size as stored, which is after compression.
_SQLITE = (
    ("checkpoints", "checkpoints", "length(checkpoint) + coalesce(length(metadata), 0)"),
    ("values", "writes", "length(value)"),
    ("transcript", "transcript", "length(CAST(text AS BLOB)) + length(CAST(extra AS BLOB))"),
    ("runs", "run_events", "length(CAST(data AS BLOB))"),
    (
        "runs",
        "runs",
        (
            "length(CAST(request AS BLOB)) + coalesce(length(CAST(output AS BLOB)), 0)"
            " + coalesce(length(CAST(steps AS BLOB)), 0)"
        ),
    ),
    ("runs", "receipts", "coalesce(length(CAST(outcome AS BLOB)), 0)"),
)
_POSTGRESQL = (
    ("checkpoints", "checkpoints", "pg_column_size(checkpoint) + pg_column_size(metadata)"),
    ("values", "checkpoint_writes", "pg_column_size(blob)"),
    ("values", "checkpoint_blobs", "coalesce(pg_column_size(blob), 0)"),
    ("transcript", "transcript", "pg_column_size(text) + pg_column_size(extra)"),
    ("runs", "run_events", "pg_column_size(data)"),
    (
        "runs",
        "runs",
        "pg_column_size(request) + coalesce(pg_column_size(output), 0) + coalesce(pg_column_size(steps), 0)",
    ),
    ("runs", "receipts", "coalesce(pg_column_size(outcome), 0)"),
)
_SUM = "SELECT thread_id, count(*), sum({size}) FROM {table} GROUP BY thread_id"


@dataclass(slots=True)
class ThreadSize:
    """Bytes of one thread by kind, and how many checkpoints it has. A deleted thread has no owner."""

    id: str
    owner: str = ""
    title: str = ""
    turns: int = 0
    checkpoints: int = 0
    bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))

    @property
    def total(self) -> int:
        return sum(self.bytes.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "thread_id": self.id,
            "owner": self.owner,
            "title": self.title,
            "turns": self.turns,
            "checkpoints": self.checkpoints,
            "bytes": {**self.bytes, "total": self.total},
        }


@dataclass(frozen=True, slots=True)
class Sizes:
    """Every thread, the largest first.

    Args:
        database: Bytes that the database takes on disk, with indexes and what is free in it.
        free: Bytes of it that are free for new rows; None where that is not known.
    """

    threads: Sequence[ThreadSize]
    database: int
    free: int | None

    def totals(self) -> dict[str, Any]:
        by_kind = {kind: sum(thread.bytes[kind] for thread in self.threads) for kind in KINDS}
        return {
            "threads": len(self.threads),
            "checkpoints": sum(thread.checkpoints for thread in self.threads),
            "bytes": {**by_kind, "total": sum(by_kind.values())},
            "database_bytes": self.database,
            "free_bytes": self.free,
        }


async def measure(engine: AsyncEngine, store: FileStore | None = None) -> Sizes:
    """What each thread takes.

    Args:
        store: Count the files of threads too; without it they count as nothing.
    """
    found: defaultdict[str, ThreadSize] = defaultdict(lambda: ThreadSize(""))
    async with engine.connect() as db:
        # LangGraph makes its own when the first agent opens.
        there = set(await db.run_sync(lambda connection: inspect(connection).get_table_names()))
        for kind, table, size in _SQLITE if is_sqlite(engine) else _POSTGRESQL:
            if table not in there:
                continue
            for thread_id, rows, taken in await db.execute(text(_SUM.format(table=table, size=size))):
                found[thread_id].bytes[kind] += int(taken or 0)
                if table == "checkpoints":
                    found[thread_id].checkpoints = rows
        for row in (await db.execute(select(threads))).mappings():
            thread = found[row["id"]]
            thread.owner, thread.title, thread.turns = row["owner"], row["title"], row["turns"]
        database, free = await _on_disk(db)
    if store:
        await _add_files(found, store, {thread.owner for thread in found.values() if thread.owner})
    for thread_id, thread in found.items():
        thread.id = thread_id
    largest = sorted(found.values(), key=lambda thread: (-thread.total, thread.id))
    return Sizes(largest, database, free)


async def _add_files(found: Mapping[str, ThreadSize], store: FileStore, owners: Iterable[str]) -> None:
    for owner in sorted(owners):
        async for info in store.scan(owner):
            thread = found.get(info.thread or "")
            if thread and thread.owner == owner:
                thread.bytes["files"] += info.size


async def _on_disk(db: AsyncConnection) -> tuple[int, int | None]:
    if not is_sqlite(db):
        return int((await db.execute(text("SELECT pg_database_size(current_database())"))).scalar_one()), None
    pages, free, size = [
        int((await db.exec_driver_sql(f"PRAGMA {name}")).scalar_one())
        for name in ("page_count", "freelist_count", "page_size")
    ]
    return pages * size, free * size
