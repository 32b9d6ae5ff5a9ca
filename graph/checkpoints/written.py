"""Checkpoints and writes as units of the database's one writer, and the saver of SQLite that makes them.

A checkpoint is a promise, and the next step begins when the commit that carries it is on disk. The writes
of a task, and checkpoints that promise nothing, are handed over without waiting: they stand in front of the
promise that follows, in one transaction with it, or by themselves a moment later. Whoever reads a thread
waits for them.
"""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import aiosqlite
from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import TASKS
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
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
from langgraph.constants import START

from core.database.outage import PING_S, outage
from core.database.units import Unit
from core.database.writer import Writer
from graph.runs.lease import Hold, fence_of, hold_on

P = ParamSpec("P")
T = TypeVar("T")
Statement = tuple[str, Sequence[Sequence[Any]]]

REMEMBERED = 4096
# LangGraph runs the handler of a step's error only when this one is on disk.
_AWAITED = "__error_source_node__"
# Who has an answer in it has paid for that.
MESSAGES = "messages"
# What makes a step come next, beside the input and calls that are sent.
_BRANCH, _JOIN = "branch:to:", "join:"

# Of LangGraph's tables on SQLite.
_CHECKPOINT = (
    "INSERT OR REPLACE INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id,"
    " type, checkpoint, metadata) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_WRITES = (
    "INSERT OR {how} INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel,"
    " type, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_DELETE = ("DELETE FROM checkpoints WHERE thread_id = ?", "DELETE FROM writes WHERE thread_id = ?")


class Written(BaseCheckpointSaver[str]):
    """Mixin in front of LangGraph's savers. What a saver writes, and in which words, is its own business.

    A step begins when what was done before it is on disk. So nobody waits for a checkpoint behind which
    nothing was done yet (input and look-ups, which are made again), nor for the last one of a run that has
    its answer already: the end of the run, of which its caller is told, is committed with it. They go with
    the next promise.

    Raises:
        LeaseLost: From a write of a task that does not hold the thread (see `graph.runs.lease`); where the
            thread was taken over meanwhile, from the next checkpoint.
    """

    _writer: Writer
    looking: frozenset[str] = frozenset()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # By thread: a checkpoint for which nobody waited, and the steps that come behind it.
        self._looked: OrderedDict[str, tuple[str, frozenset[str]]] = OrderedDict()

    @abstractmethod
    def _of_checkpoint(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> list[Statement]:
        """A checkpoint as rows."""

    @abstractmethod
    def _of_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> list[Statement]:
        """A task's writes as rows."""

    @abstractmethod
    def _of_deletion(self, thread_id: str) -> list[Statement]:
        """A thread's end."""

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        hold = hold_on(_thread(config))
        statements = self._of_checkpoint(config, checkpoint, metadata, new_versions)
        unit = Unit(fence_of(hold), statements)
        if self._is_promise(config, checkpoint, metadata, hold):
            await self._writer.write(unit)
        else:
            self._writer.later(unit)
        place = {name: config["configurable"][name] for name in ("thread_id", "checkpoint_ns")}
        return {"configurable": {**place, "checkpoint_id": checkpoint["id"]}}

    def _is_promise(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, hold: Hold
    ) -> bool:
        """Whether somebody has to wait until the checkpoint is on disk."""
        updated = checkpoint.get("updated_channels")
        # What a graph inside of a step does is that step's business.
        if not hold.run_id or updated is None or config["configurable"].get("checkpoint_ns"):
            return True
        following = frozenset(steps_behind(updated))
        known, steps = self._looked.pop(hold.thread_id, ("", frozenset[str]()))
        if metadata.get("source") == "input":
            is_look = following == {START}
        else:
            is_look = known == config["configurable"].get("checkpoint_id") and steps <= self.looking
        if is_look and following:
            self._looked[hold.thread_id] = checkpoint["id"], following
            if len(self._looked) > REMEMBERED:
                self._looked.popitem(last=False)
        # What a turn ends with is carried by the run's end, but for an answer: its model is not asked again.
        return (bool(following) or MESSAGES in updated) and not is_look

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

    async def alist(self, config: RunnableConfig | None, **named: Any) -> AsyncIterator[CheckpointTuple]:
        if config is not None:
            await self._writer.stored(_thread(config))
        async for found in super().alist(config, **named):
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


def steps_behind(updated: Iterable[str]) -> Iterator[str]:
    """What follows a checkpoint, by the channels that were written in front of it."""
    for channel in updated:
        if channel.startswith(_BRANCH):
            yield channel.removeprefix(_BRANCH)
        elif channel in {START, TASKS} or channel.startswith(_JOIN):
            yield channel


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
        in_its_thread: Any = self.conn._execute
        found: T = await in_its_thread(read, reader, *args, **named)
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
