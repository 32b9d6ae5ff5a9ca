"""LangGraph's SQLite saver, whose writes happen whole or not at all.

The saver writes a statement and then commits, on the one connection that it has.
A turn that is cancelled between the two would leave the transaction open, and
with it the database locked for every writer until the saver's next commit.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from core.whole import finished

T = TypeVar("T")


class WholeSqliteSaver(AsyncSqliteSaver):
    """A cancelled caller waits until its write is committed; a write that fails is rolled back."""

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await self._whole(super().aput(config, checkpoint, metadata, new_versions))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await self._whole(super().aput_writes(config, writes, task_id, task_path))

    async def adelete_thread(self, thread_id: str) -> None:
        await self._whole(super().adelete_thread(thread_id))

    async def _whole(self, write: Coroutine[Any, Any, T]) -> T:
        return await finished(self._or_nothing(write))

    async def _or_nothing(self, write: Coroutine[Any, Any, T]) -> T:
        try:
            return await write
        except BaseException:
            async with self.lock:
                await self.conn.rollback()
            raise
