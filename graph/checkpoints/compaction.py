"""Checkpoints of turns that ended long ago are deleted: what they said stands in the transcript.

A thread keeps the checkpoints of its newest `threads.checkpoint_turns` turns.
The first of them would be read through its ancestors, since delta channels are
stored as what changed; so it is first given their values whole, after which
nothing older is needed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from core.database.engine import is_sqlite, now_of
from core.database.outage import uninterrupted
from core.settings.platform import ThreadSettings
from core.task_queue import Task, TaskContext
from core.task_queue.task import NoArguments
from graph.checkpoints.carrying import Compiled
from graph.errors import ThreadBusy, ThreadNotFound
from graph.runs.lease import Leases

log = structlog.get_logger(__name__)

# Threads looked for at once, and checkpoints deleted in one transaction: nobody waits long for the lock.
THREADS = 100
CHECKPOINTS = 200
# A thread that was used a moment ago is left alone: a message that comes now would find it busy.
QUIET_S = 120.0

# SQLite's saver keeps metadata as JSON in bytes, PostgreSQL's as JSON.
_SOURCE = {
    "sqlite": "json_extract(CAST(metadata AS TEXT), '$.source')",
    "postgresql": "metadata ->> 'source'",
}
_WRITES = {"sqlite": "writes", "postgresql": "checkpoint_writes"}
_LINE = (
    "SELECT checkpoint_id, parent_checkpoint_id, {source} FROM checkpoints"
    " WHERE thread_id = :thread AND checkpoint_ns = '' ORDER BY checkpoint_id DESC"
)
# A turn has a checkpoint at least: with no more checkpoints than turns to keep there is nothing to delete.
_DUE = text(
    "SELECT t.id FROM threads t"
    " WHERE t.id > :after AND t.turns > :turns AND t.updated_at >= :since AND t.updated_at < :until"
    " AND (SELECT count(*) FROM checkpoints c WHERE c.thread_id = t.id) > :turns ORDER BY t.id LIMIT :limit"
)
_CUT_OFF = text(
    "UPDATE checkpoints SET parent_checkpoint_id = NULL"
    " WHERE thread_id = :thread AND checkpoint_ns = '' AND checkpoint_id = :first"
)
_DELETE = "DELETE FROM {table} WHERE thread_id = :thread AND checkpoint_ns = '' AND checkpoint_id IN :ids"
# A value is stored once for all checkpoints that have its version.
_UNUSED_VALUES = text(
    "DELETE FROM checkpoint_blobs WHERE thread_id = :thread AND checkpoint_ns = ''"
    " AND (channel, version) NOT IN (SELECT v.key, v.value FROM checkpoints c"
    " CROSS JOIN LATERAL jsonb_each_text(c.checkpoint -> 'channel_versions') AS v"
    " WHERE c.thread_id = :thread AND c.checkpoint_ns = '')"
)


@dataclass(frozen=True, slots=True)
class CheckpointLine:
    """A thread's checkpoints, newest first, as (id, parent, source)."""

    rows: Sequence[tuple[str, str | None, str | None]]

    def first_kept(self, turns: int) -> str | None:
        """Where the newest `turns` turns begin; None when no more are there."""
        parents = {key: parent for key, parent, _ in self.rows}
        starts = {key for key, _, source in self.rows if source == "input"}
        found: list[str] = []
        at: str | None = self.rows[0][0] if self.rows else None
        # Along the parents: what was tried beside it and left is no turn of the thread.
        while at is not None and at in parents:
            if at in starts:
                found.append(at)
            at = parents.pop(at)
        return found[turns - 1] if len(found) > turns else None

    def outside(self, first: str) -> list[str]:
        """Every checkpoint that does not come from `first`, the newest first."""
        children = defaultdict(list)
        for key, parent, _ in self.rows:
            children[parent].append(key)
        kept, queue = {first}, [first]
        while queue:
            new = [key for key in children[queue.pop()] if key not in kept]
            kept.update(new)
            queue.extend(new)
        return [key for key, _, _ in self.rows if key not in kept]


class Compaction:
    """Deletes checkpoints of old turns. One per process."""

    def __init__(
        self, engine: AsyncEngine, graph: Compiled, leases: Leases, settings: ThreadSettings
    ) -> None:
        self._engine = engine
        self._graph = graph
        self._leases = leases
        self._turns = settings.checkpoint_turns
        # Threads that nobody used since were looked at already, all but those that were busy then.
        self._since = 0.0
        self._busy: set[str] = set()

    async def run(self, *, quiet_s: float = QUIET_S) -> int:
        """Go through the threads that were used since the last time; how many checkpoints are gone.

        Args:
            quiet_s: Leave threads for the next time that were used so many seconds ago.
        """
        if not self._turns:
            return 0
        until, gone, after = now_of(self._engine) - quiet_s, 0, ""
        for thread_id in sorted(self._busy):
            gone += await self._one(thread_id)
        while found := await self._due(after, until):
            for thread_id in found:
                gone += await self._one(thread_id)
            after = found[-1]
        self._since = until
        return gone

    async def compact(self, thread_id: str) -> int:
        """How many checkpoints of the thread are gone.

        Raises:
            ThreadNotFound: There is none.
            ThreadBusy: It has a run going.
        """
        if (await self._line(thread_id)).first_kept(self._turns) is None:
            return 0
        async with self._leases.borrow(thread_id):
            line = await self._line(thread_id)
            first = line.first_kept(self._turns)
            if first is None:
                return 0
            if not await self._make_whole(thread_id, first):
                return 0
            doomed = line.outside(first)
            for start in range(0, len(doomed), CHECKPOINTS):
                # The newest first: one that is still there after a crash still has its ancestors.
                await self._delete(thread_id, first, doomed[start : start + CHECKPOINTS])
            if doomed and not is_sqlite(self._engine):
                await self._delete_unused_values(thread_id)
        return len(doomed)

    async def _one(self, thread_id: str) -> int:
        self._busy.discard(thread_id)
        try:
            return await self.compact(thread_id)
        except ThreadBusy:
            self._busy.add(thread_id)
        except ThreadNotFound:
            log.info("thread_deleted_meanwhile")
        return 0

    async def _due(self, after: str, until: float) -> list[str]:
        given = {
            "after": after,
            "turns": self._turns,
            "since": self._since,
            "until": until,
            "limit": THREADS,
        }
        async with self._engine.connect() as db:
            return list((await db.execute(_DUE, given)).scalars())

    async def _line(self, thread_id: str) -> CheckpointLine:
        query = text(_LINE.format(source=_SOURCE[self._engine.dialect.name]))
        async with self._engine.connect() as db:
            rows = (await db.execute(query, {"thread": thread_id})).all()
        return CheckpointLine([(str(key), parent, source) for key, parent, source in rows])

    async def _make_whole(self, thread_id: str, checkpoint_id: str) -> bool:
        """Store the checkpoint again, with the values of its delta channels in it; False when it cannot be.

        Values of channels that only another graph knows stand in the checkpoints
        before it, and this graph cannot read them: such a thread stays as it is.
        """
        saver: Any = self._graph.checkpointer
        config: Any = {
            "configurable": {"thread_id": thread_id, "checkpoint_ns": "", "checkpoint_id": checkpoint_id}
        }
        found: CheckpointTuple = await saver.aget_tuple(config)
        if saver.unknown_deltas(found.checkpoint):
            return False
        values = await self._replayed(saver, found)
        if not values:
            return True
        checkpoint = found.checkpoint.copy()
        checkpoint["channel_values"] = {**checkpoint["channel_values"], **values}
        versions = {name: checkpoint["channel_versions"][name] for name in values}
        parent: Any = found.parent_config or {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
        await saver.aput(parent, checkpoint, found.metadata, versions)
        return True

    async def _replayed(self, saver: BaseCheckpointSaver[Any], found: CheckpointTuple) -> Mapping[str, Any]:
        """What the ancestors make of the delta channels that are not stored in the checkpoint itself."""
        specs = {
            name: spec
            for name, spec in self._graph.channels.items()
            if isinstance(spec, DeltaChannel)
            and name in found.checkpoint["channel_versions"]
            and name not in found.checkpoint["channel_values"]
        }
        histories = await saver.aget_delta_channel_history(config=found.config, channels=list(specs))
        return {name: _value(specs[name], history) for name, history in histories.items()}

    @uninterrupted
    async def _delete(self, thread_id: str, first: str, ids: Sequence[str]) -> None:
        async with self._engine.begin() as db:
            await db.execute(_CUT_OFF, {"thread": thread_id, "first": first})
            for table in (_WRITES[self._engine.dialect.name], "checkpoints"):
                await _delete_from(db, table, thread_id, ids)

    @uninterrupted
    async def _delete_unused_values(self, thread_id: str) -> None:
        async with self._engine.begin() as db:
            await db.execute(_UNUSED_VALUES, {"thread": thread_id})


def _value(spec: DeltaChannel[Any], history: Any) -> _DeltaSnapshot:
    channel = spec.from_checkpoint(history.get("seed", _DeltaSnapshot(spec.typ())))
    channel.replay_writes(history["writes"])
    return _DeltaSnapshot(channel.get())


async def _delete_from(db: AsyncConnection, table: str, thread_id: str, ids: Iterable[str]) -> None:
    statement = text(_DELETE.format(table=table)).bindparams(bindparam("ids", expanding=True))
    await db.execute(statement, {"thread": thread_id, "ids": list(ids)})


async def compact_threads(_: NoArguments, context: TaskContext) -> None:
    """Delete checkpoints of turns older than `threads.checkpoint_turns`; busy threads come next time."""
    gone = await (await context.container.get(Compaction)).run()
    await context.progress(gone, message="checkpoints deleted")


TASKS: tuple[Task[Any], ...] = (
    Task("compact_threads", NoArguments, compact_threads, deadline_s=3600, cron="17 * * * *"),
)
