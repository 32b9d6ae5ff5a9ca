"""LangGraph's PostgreSQL saver over the database's one writer; it reads by connections of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from core.database.writer import Writer
from core.foreign import as_json
from graph.checkpoints.carrying import Enduring
from graph.checkpoints.remembering import Remembering
from graph.checkpoints.written import Statement, Written

_DELETE = (
    "DELETE FROM checkpoints WHERE thread_id = %s",
    "DELETE FROM checkpoint_blobs WHERE thread_id = %s",
    "DELETE FROM checkpoint_writes WHERE thread_id = %s",
)


class WrittenPostgresSaver(Written, AsyncPostgresSaver):
    """Its rows are those of LangGraph's own saver, which reads them."""

    def __init__(self, conn: Any, writer: Writer, *, serde: SerializerProtocol | None = None) -> None:
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
        thread_id, space = place["thread_id"], place["checkpoint_ns"]
        short, values = _apart(checkpoint["channel_values"])
        new = {name: version for name, version in new_versions.items() if name in values}
        told = get_serializable_checkpoint_metadata(config, metadata)
        row = (
            thread_id,
            space,
            checkpoint["id"],
            place.get("checkpoint_id"),
            as_json({**checkpoint, "channel_values": short}),
            as_json(told),
        )
        blobs = self._dump_blobs(thread_id, space, values, new) if new else []
        stored: list[Statement] = [(self.UPSERT_CHECKPOINT_BLOBS_SQL, blobs)] if blobs else []
        return [*stored, (self.UPSERT_CHECKPOINTS_SQL, [row])]

    def _of_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> list[Statement]:
        machinery = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        sql = self.UPSERT_CHECKPOINT_WRITES_SQL if machinery else self.INSERT_CHECKPOINT_WRITES_SQL
        thread_id, space, at = (
            config["configurable"][n] for n in ("thread_id", "checkpoint_ns", "checkpoint_id")
        )
        return [(sql, self._dump_writes(thread_id, space, at, task_id, task_path, writes))]

    def _of_deletion(self, thread_id: str) -> list[Statement]:
        return [(sql, [(thread_id,)]) for sql in _DELETE]


def _apart(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What stands inside of a checkpoint, and what stands beside it, by its version."""
    inside: dict[str, Any] = {}
    beside: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, _DeltaSnapshot):
            inside[name], beside[name] = True, value
        elif value is None or isinstance(value, str | int | float | bool):
            inside[name] = value
        else:
            beside[name] = value
    return inside, beside


class ThreadPostgresSaver(Enduring, Remembering, WrittenPostgresSaver):
    """The saver of a service: it also keeps what this graph does not know (`graph.checkpoints.carrying`)."""
