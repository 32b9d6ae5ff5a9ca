"""LangGraph's own tables by SQL: what its savers cannot do in one transaction with ours.

Its savers copy no thread, and delete one on a connection of their own. The
tables stand in the same database; their columns are those of
langgraph-checkpoint-sqlite 3.1 and -postgres 3.2, whose versions are pinned.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from core.database.engine import is_sqlite

_SQLITE = ("writes", "checkpoints")
_POSTGRES = ("checkpoint_writes", "checkpoint_blobs", "checkpoints")

_COPIED = {
    "checkpoints": "checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata",
    "writes": "checkpoint_id, task_id, task_path, idx, channel, type, value",
    "checkpoint_writes": "checkpoint_id, task_id, task_path, idx, channel, type, blob",
    "checkpoint_blobs": "channel, version, type, blob",
}

# The checkpoint and all before it: `messages` is kept as what each step added.
_LINE = """
WITH RECURSIVE line(id, parent) AS (
    SELECT checkpoint_id, parent_checkpoint_id FROM checkpoints
    WHERE thread_id = :source AND checkpoint_ns = '' AND checkpoint_id = :head
    UNION ALL
    SELECT c.checkpoint_id, c.parent_checkpoint_id FROM checkpoints AS c
    JOIN line ON c.checkpoint_id = line.parent
    WHERE c.thread_id = :source AND c.checkpoint_ns = ''
)
"""
_EARLIER = (
    "checkpoint_id <> :head AND checkpoint_id IN (SELECT checkpoint_id FROM checkpoints AS c WHERE {new})"
)
_NEW = "c.thread_id = :target AND c.checkpoint_ns = ''"
# Of a step that ended: the questions again without their answers, and what ran beside them.
_ASKED = (
    "checkpoint_id = :head AND channel <> '__resume__' AND EXISTS ({asked})"
    " AND (channel = '__interrupt__' OR task_id NOT IN ({asked}))"
)
_BLOBS = (
    "(channel, version) IN (SELECT v.key, v.value FROM checkpoints AS c"
    " CROSS JOIN LATERAL jsonb_each_text(c.checkpoint -> 'channel_versions') AS v WHERE {new})"
)


def tables_of(db: AsyncConnection) -> Sequence[str]:
    """LangGraph's tables that have a `thread_id`."""
    return _SQLITE if is_sqlite(db) else _POSTGRES


async def copy_line(db: AsyncConnection, source: str, target: str, head: str) -> bool:
    """Copy a checkpoint with all before it into the new thread `target`; False when it is not there.

    What waits at the checkpoint is copied too: the writes of a step that has
    not ended, and the questions of one that has.
    """
    values = {"source": source, "target": target, "head": head}
    copied = await db.execute(
        text(_LINE + _insert("checkpoints", "checkpoint_id IN (SELECT id FROM line)")), values
    )
    if not copied.rowcount:
        return False
    writes = "writes" if is_sqlite(db) else "checkpoint_writes"
    new = {"target": target}
    if not is_sqlite(db):
        await db.execute(
            text(_insert("checkpoint_blobs", _BLOBS.format(new=_NEW))), {"source": source, **new}
        )
    await db.execute(text(_insert(writes, _EARLIER.format(new=_NEW))), values)
    if await _has_child(db, source, head):
        asked = (
            f"SELECT task_id FROM {writes} WHERE thread_id = :source"  # noqa: S608 - a name of ours
            " AND checkpoint_ns = '' AND checkpoint_id = :head AND channel = '__interrupt__'"
        )
        await db.execute(text(_insert(writes, _ASKED.format(asked=asked))), values)
    else:
        await db.execute(text(_insert(writes, "checkpoint_id = :head")), values)
    return True


async def delete_line(db: AsyncConnection, thread_id: str) -> None:
    """Remove every checkpoint of the thread, with what belongs to it."""
    for table in tables_of(db):
        await db.execute(text(f"DELETE FROM {table} WHERE thread_id = :id"), {"id": thread_id})  # noqa: S608


async def delete_orphans(db: AsyncConnection) -> None:
    """Remove checkpoints of threads that are not there."""
    for table in tables_of(db):
        await db.execute(
            text(
                f"DELETE FROM {table} WHERE NOT EXISTS"  # noqa: S608 - a name of ours
                f" (SELECT 1 FROM threads WHERE threads.id = {table}.thread_id)"
            )
        )


async def steps_with(db: AsyncConnection, thread_id: str, message_id: str) -> list[tuple[str, str, bytes]]:
    """Steps that wrote something with this id to `messages`, the oldest first.

    Returns:
        For each the checkpoint that it began at, and what it wrote, as the
        saver's serializer reads it.
    """
    sqlite = is_sqlite(db)
    table, value = ("writes", "value") if sqlite else ("checkpoint_writes", "blob")
    has = "instr(w.value, :needle) > 0" if sqlite else "position(:needle in w.blob) > 0"
    query = text(
        f"SELECT w.checkpoint_id, w.type, w.{value} FROM {table} AS w"  # noqa: S608
        " JOIN checkpoints AS c ON c.thread_id = w.thread_id AND c.checkpoint_ns = w.checkpoint_ns"
        " AND c.checkpoint_id = w.checkpoint_id"
        f" WHERE w.thread_id = :thread AND w.checkpoint_ns = '' AND w.channel = 'messages' AND {has}"
        " ORDER BY w.checkpoint_id"
    )
    rows = await db.execute(query, {"thread": thread_id, "needle": message_id.encode()})
    return [(str(row[0]), str(row[1]), bytes(row[2])) for row in rows]


def _insert(table: str, condition: str) -> str:
    columns = _COPIED[table]
    return (
        f"INSERT INTO {table} (thread_id, checkpoint_ns, {columns})"  # noqa: S608 - names of ours
        f" SELECT :target, checkpoint_ns, {columns} FROM {table}"
        f" WHERE thread_id = :source AND checkpoint_ns = '' AND {condition}"
    )


async def _has_child(db: AsyncConnection, thread_id: str, checkpoint_id: str) -> bool:
    query = text(
        "SELECT 1 FROM checkpoints WHERE thread_id = :thread AND checkpoint_ns = ''"
        " AND parent_checkpoint_id = :id LIMIT 1"
    )
    return (await db.execute(query, {"thread": thread_id, "id": checkpoint_id})).first() is not None
