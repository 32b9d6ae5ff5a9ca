"""LangGraph's PostgreSQL saver, whose writes are those of the thread's holder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncCursor
from psycopg.rows import DictRow, dict_row

from graph.checkpoints.carrying import Carrying, Enduring
from graph.errors import LeaseLost
from graph.runs.lease import Hold, hold_on

# Shared: readers and other checks may go on; whoever takes the thread over waits for the write.
_IS_HELD = "SELECT 1 FROM threads WHERE id = %s AND fence = %s FOR SHARE"
_writing: ContextVar[Hold | None] = ContextVar("waystation_checkpoint_hold", default=None)


@contextmanager
def _as_holder(config: RunnableConfig) -> Iterator[None]:
    token = _writing.set(hold_on(str(config["configurable"]["thread_id"])))
    try:
        yield
    finally:
        _writing.reset(token)


class FencedPostgresSaver(AsyncPostgresSaver):
    """Each write is one transaction, which also makes sure that the thread is held.

    Raises:
        LeaseLost: From every write of a task that does not hold the thread (see `graph.runs.lease`).
    """

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        with _as_holder(config):
            return await super().aput(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        with _as_holder(config):
            await super().aput_writes(config, writes, task_id, task_path)

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[AsyncCursor[DictRow]]:
        hold = _writing.get()
        if hold is None:
            async with super()._cursor(pipeline=pipeline) as cursor:
                yield cursor
            return
        pool: Any = self.conn
        async with (
            pool.connection() as connection,
            connection.transaction(),
            connection.cursor(binary=True, row_factory=dict_row) as cursor,
        ):
            await cursor.execute(_IS_HELD, [hold.thread_id, hold.fence])
            if await cursor.fetchone() is None:
                raise LeaseLost(f"thread '{hold.thread_id}' was taken over")
            yield cursor


class ThreadPostgresSaver(Enduring, Carrying, FencedPostgresSaver):
    """The saver of a service: it also keeps what this graph does not know (`graph.checkpoints.carrying`)."""
