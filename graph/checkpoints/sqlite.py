"""LangGraph's SQLite saver, whose writes are those of the thread's holder and happen whole or not at all.

The saver writes a statement and then commits, on the one connection that it has.
A turn that is cancelled between the two would leave the transaction open, and
with it the database locked for every writer until the saver's next commit.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import aiosqlite
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from core.database.engine import BUSY_MS
from core.database.outage import DatabaseUnavailable, finished
from graph.checkpoints.carrying import Carrying, Enduring
from graph.errors import LeaseLost
from graph.runs.lease import hold_on

T = TypeVar("T")

_IS_HELD = "SELECT 1 FROM threads WHERE id = ? AND fence = ?"


class WholeSqliteSaver(AsyncSqliteSaver):
    """A cancelled caller waits until its write is committed; a write that fails is rolled back.

    Raises:
        LeaseLost: From every write of a task that does not hold the thread (see `graph.runs.lease`).
    """

    def __init__(self, conn: aiosqlite.Connection, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(conn, serde=serde)
        # The saver's own lock is taken inside of a write; this one is around the whole transaction.
        self._transaction = asyncio.Lock()

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await self._held(config, super().aput(config, checkpoint, metadata, new_versions))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await self._held(config, super().aput_writes(config, writes, task_id, task_path))

    async def adelete_thread(self, thread_id: str) -> None:
        await finished(self._or_nothing(super().adelete_thread(thread_id)))

    async def _held(self, config: RunnableConfig, write: Coroutine[Any, Any, T]) -> T:
        return await finished(self._or_nothing(write, str(config["configurable"]["thread_id"])))

    async def _or_nothing(self, write: Coroutine[Any, Any, T], thread_id: str | None = None) -> T:
        try:
            await self._my_turn()
        except BaseException:
            write.close()
            raise
        try:
            if thread_id is not None:
                await self._begin(thread_id)
            return await write
        except BaseException:
            write.close()
            # What went wrong first is what counts.
            with suppress(sqlite3.Error):
                await self.conn.rollback()
            raise
        finally:
            self._transaction.release()

    async def _my_turn(self) -> None:
        """Wait for the write before this one, but not for a whole line that the database holds up."""
        if not self._transaction.locked():
            await self._transaction.acquire()
            return
        try:
            async with asyncio.timeout(BUSY_MS / 1000):
                await self._transaction.acquire()
        except TimeoutError:
            raise DatabaseUnavailable("is held up by other writers") from None

    async def _begin(self, thread_id: str) -> None:
        """Open the transaction of the write, in which nobody else can take the thread."""
        hold = hold_on(thread_id)
        # Readers of this connection hold this lock. With one of them half way SQLite would not wait for
        # another writer but say at once that the database is locked.
        async with self.lock:
            await self.conn.execute("BEGIN IMMEDIATE")
        async with self.conn.execute(_IS_HELD, (thread_id, hold.fence)) as found:
            if await found.fetchone() is None:
                raise LeaseLost(f"thread '{thread_id}' was taken over")


class ThreadSqliteSaver(Enduring, Carrying, WholeSqliteSaver):
    """The saver of a service: it also keeps what this graph does not know (`graph.checkpoints.carrying`)."""
