"""LangGraph's SQLite saver over the database's one writer; it reads by a connection of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import aiosqlite
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from core.database.writer import Writer
from graph.checkpoints.carrying import Carrying, Enduring
from graph.checkpoints.written import Statement, Written

T = TypeVar("T")

_CHECKPOINT = (
    "INSERT OR REPLACE INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id,"
    " type, checkpoint, metadata) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_WRITES = (
    "INSERT OR {how} INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel,"
    " type, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_DELETE = ("DELETE FROM checkpoints WHERE thread_id = ?", "DELETE FROM writes WHERE thread_id = ?")


class _Reading(AsyncSqliteSaver):
    """Reads as LangGraph's saver for threads does, each time as a whole in the connection's own thread.

    LangGraph's asynchronous saver goes to that thread and back for each statement, cursor and row.
    """

    _reader: SqliteSaver | None = None

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await self._read(SqliteSaver.get_tuple, config)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return await self._read(SqliteSaver.get_delta_channel_history, config=config, channels=channels)

    async def _read(self, read: Callable[..., T], *args: Any, **named: Any) -> T:
        await self.setup()
        if self._reader is None:
            self._reader = SqliteSaver(self.conn._conn, serde=self.serde)
        reader = self._reader
        if reader.serde is not self.serde:
            reader = SqliteSaver(self.conn._conn, serde=self.serde)
        # What runs in its thread there is no public name for.
        found: T = await self.conn._execute(read, reader, *args, **named)
        return found


class WrittenSqliteSaver(Written, _Reading):
    """Its rows are those of LangGraph's own saver, which reads them."""

    def __init__(
        self, conn: aiosqlite.Connection, writer: Writer, *, serde: SerializerProtocol | None = None
    ) -> None:
        super().__init__(conn, serde=serde)
        self._writer = writer

    def _of_checkpoint(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> list[Statement]:
        place = config["configurable"]
        told = json.dumps(get_checkpoint_metadata(config, metadata), ensure_ascii=False)
        row = (
            str(place["thread_id"]),
            place["checkpoint_ns"],
            checkpoint["id"],
            place.get("checkpoint_id"),
            *self.serde.dumps_typed(checkpoint),
            told.encode("utf-8", "ignore"),
        )
        return [(_CHECKPOINT, [row])]

    def _of_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> list[Statement]:
        # Those of the machinery take the place of what a task wrote before, others stand as they were first.
        how = "REPLACE" if all(channel in WRITES_IDX_MAP for channel, _ in writes) else "IGNORE"
        place = [str(config["configurable"][n]) for n in ("thread_id", "checkpoint_ns", "checkpoint_id")]
        rows = [
            (*place, task_id, task_path, WRITES_IDX_MAP.get(name, at), name, *self.serde.dumps_typed(value))
            for at, (name, value) in enumerate(writes)
        ]
        return [(_WRITES.format(how=how), rows)]

    def _of_deletion(self, thread_id: str) -> list[Statement]:
        return [(sql, [(thread_id,)]) for sql in _DELETE]


class ThreadSqliteSaver(Enduring, Carrying, WrittenSqliteSaver):
    """The saver of a service: it also keeps what this graph does not know (`graph.checkpoints.carrying`)."""
