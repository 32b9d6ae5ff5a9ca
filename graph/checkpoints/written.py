"""What savers of ours hand over to the database's one writer, and when they wait for it.

A checkpoint is a promise: the next step begins when the commit that carries it is on disk. The writes of a
task are handed over without waiting: they stand in front of the checkpoint that follows, in one transaction
with it, or by themselves a moment later. So a step's checkpoint is never there without the writes behind it.
Whoever reads a thread waits for what was handed over for it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)

from core.database.outage import PING_S, outage
from core.database.writer import Unit, Writer
from graph.runs.lease import fence_of, hold_on

P = ParamSpec("P")
T = TypeVar("T")
Statement = tuple[str, Sequence[Sequence[Any]]]
# LangGraph runs the handler of a step's error only when this one is on disk.
_AWAITED = "__error_source_node__"


class Written(BaseCheckpointSaver[str]):
    """Mixin in front of LangGraph's savers. What a saver writes, and in which words, is its own business.

    Raises:
        LeaseLost: From a write of a task that does not hold the thread (see `graph.runs.lease`); where the
            thread was taken over meanwhile, from the next checkpoint.
    """

    _writer: Writer

    def _of_checkpoint(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> list[Statement]:
        """A checkpoint as rows."""
        raise NotImplementedError

    def _of_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> list[Statement]:
        """A task's writes as rows."""
        raise NotImplementedError

    def _of_deletion(self, thread_id: str) -> list[Statement]:
        """A thread's end."""
        raise NotImplementedError

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        hold = hold_on(_thread(config))
        statements = self._of_checkpoint(config, checkpoint, metadata, new_versions)
        await self._writer.write(Unit(fence_of(hold), statements))
        place = {name: config["configurable"][name] for name in ("thread_id", "checkpoint_ns")}
        return {"configurable": {**place, "checkpoint_id": checkpoint["id"]}}

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        unit = Unit(fence_of(hold_on(_thread(config))), self._of_writes(config, writes, task_id, task_path))
        if any(channel == _AWAITED for channel, _ in writes):
            await self._writer.write(unit)
        else:
            self._writer.later(unit)

    async def adelete_thread(self, thread_id: str) -> None:
        await self._writer.write(Unit(statements=self._of_deletion(str(thread_id))))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        await self._writer.stored(_thread(config))
        return await _read(super().aget_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - the saver's own name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        if config is not None:
            await self._writer.stored(_thread(config))
        async for found in super().alist(config, filter=filter, before=before, limit=limit):
            yield found

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        await self._writer.stored(_thread(config))
        return await _read(super().aget_delta_channel_history, config=config, channels=channels)


async def _read(read: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Reads once more where the connection was cut while nobody used it: that is found out at once."""
    began = time.monotonic()
    try:
        return await read(*args, **kwargs)
    except Exception as error:
        if outage(error) is None or time.monotonic() - began > PING_S:
            raise
        return await read(*args, **kwargs)


def _thread(config: RunnableConfig) -> str:
    return str(config["configurable"]["thread_id"])
