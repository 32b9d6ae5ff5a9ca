"""A saver that tells of outages as such, and through which a turn outlives the short ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)

from core.database.outage import outages_told
from core.database.waiting import endured


class Enduring(BaseCheckpointSaver[str]):
    """Mixin in front of a saver. Each of its writes comes to the same when it is done again.

    Raises:
        DatabaseUnavailable: From every method, when the database is away for longer than the turn waits.
    """

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        read = super().aget_tuple

        async def once() -> CheckpointTuple | None:
            with outages_told():
                return await read(config)

        return await endured(once)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - the saver's own name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        with outages_told():
            async for found in super().alist(config, filter=filter, before=before, limit=limit):
                yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        write = super().aput

        async def once() -> RunnableConfig:
            with outages_told():
                return await write(config, checkpoint, metadata, new_versions)

        return await endured(once)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        write = super().aput_writes

        async def once() -> None:
            with outages_told():
                await write(config, writes, task_id, task_path)

        await endured(once)

    async def adelete_thread(self, thread_id: str) -> None:
        with outages_told():
            await super().adelete_thread(thread_id)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, Any]:
        read = super().aget_delta_channel_history

        async def once() -> Mapping[str, Any]:
            with outages_told():
                return await read(config=config, channels=channels)

        return await endured(once)
