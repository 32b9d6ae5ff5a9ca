"""A thread as this process left it, for the next turn on it: that one reads nothing of what was said before.

LangGraph begins a turn by reading the newest checkpoint, and puts its messages together from what was
written behind the last snapshot of them. Where the turn before ran in this process, all of that went through
the saver. It is told again where nobody can have written to the thread meanwhile: whoever takes a thread gets
the next number of its fence, so the holder before was this process if the number is one more than of what
it left, on the same row of the thread. And only behind a run that ended well: its end was committed together
with all it left. In every other case it is read, as ever.
"""

from __future__ import annotations

import copy
import json
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
    get_serializable_checkpoint_metadata,
    writes_sort_key,
)
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.constants import START

from core.database.writer import Writer
from graph.checkpoints.carrying import Carrying, Compiled, Enduring, place_of
from graph.checkpoints.written import WrittenSqliteSaver, steps_behind
from graph.runs.lease import Hold, holding

# Threads, and about how many bytes they may take in all and each.
THREADS = 1024
BYTES = 16 * 2**20
BYTES_EACH = 2**20
_A_MESSAGE = 1500


@dataclass(slots=True)
class _Channel:
    """What a delta channel is put together from: a snapshot, and what was written behind it."""

    seed: Any = None
    writes: list[PendingWrite] = field(default_factory=list)
    weight: int = 0

    def told(self) -> DeltaChannelHistory:
        found: DeltaChannelHistory = {"writes": list(self.writes)}
        if self.seed is not None:
            found["seed"] = _own_list(self.seed)
        return found


@dataclass(slots=True)
class _Left:
    """A thread at a checkpoint.

    Args:
        fence, born: Of the hold under which it came there, and of the thread's row.
        channels: What stands behind the checkpoint, by delta channel.
        snapshots: Delta channels that stand whole in the checkpoint itself.
        wanted: Those that were written before, and whose history was not read yet.
        written: Of delta channels, by task and place: what the checkpoint after this one is made of.
        found: What a reader is told, where nothing comes behind the checkpoint.
        counted: Its weight as the sum of all has it.
    """

    fence: int
    born: float
    checkpoint_id: str
    channels: dict[str, _Channel]
    snapshots: dict[str, Any]
    wanted: set[str] = field(default_factory=set)
    written: dict[tuple[str, int], tuple[str, str, int, PendingWrite]] = field(default_factory=dict)
    found: CheckpointTuple | None = None
    counted: int = 0

    @property
    def weight(self) -> int:
        told = _weight(self.found.checkpoint["channel_values"]) if self.found else _weight(self.snapshots)
        return told + sum(channel.weight for channel in self.channels.values())

    def is_of(self, hold: Hold) -> bool:
        """Whether only this hold, and the one under which it came there, can have written behind it."""
        return self.born == hold.born and self.fence in (hold.fence, hold.fence - 1)

    def went_on(self, checkpoint: Checkpoint, deltas: Collection[str], fence: int) -> None:
        """To the next checkpoint. What was written at the one before stands behind it now."""
        for name, snapshot in self.snapshots.items():
            self.channels[name] = _Channel(snapshot, weight=_weight(snapshot))
        for *_, write in sorted(self.written.values(), key=lambda each: writes_sort_key(*each[:3])):
            channel = self.channels.setdefault(write[1], _Channel())
            channel.writes.append(write)
            channel.weight += _weight(write[2])
        self.fence, self.checkpoint_id = fence, checkpoint["id"]
        self.snapshots = _snapshots(checkpoint, deltas)
        self.written, self.found = {}, None


class Remembering(Carrying):
    """Mixin in front of a saver that writes as a thread's holder."""

    _writer: Writer
    _deltas: frozenset[str] = frozenset()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._left: OrderedDict[str, _Left] = OrderedDict()
        self._bytes = 0
        self._connections = 0

    def serve(self, graph: Compiled, looking: Collection[str] = ()) -> None:
        """As `Carrying.serve`. Where steps of others run, nothing is remembered.

        They are given the messages themselves, and might change them in their place.
        """
        super().serve(graph, looking)
        own = getattr(graph.builder, "own", frozenset[str]())
        is_ours = graph.nodes.keys() <= {START, *own}
        deltas = {name for name, channel in graph.channels.items() if isinstance(channel, DeltaChannel)}
        self._deltas = frozenset(deltas) if is_ours else frozenset()
        self._forget_all()

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        hold = self._hold(config)
        if hold is None or config["configurable"].get("checkpoint_id"):
            return await super().aget_tuple(config)
        left = self._as_left(hold)
        if left is not None and left.found is not None:
            return _own_tuple(left.found)
        self._forget(hold.thread_id)
        found = await super().aget_tuple(config)
        if found is not None and not found.pending_writes:
            self._begin(hold, found.checkpoint)
        return found

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        hold, asked = self._hold(config), config["configurable"].get("checkpoint_id")
        left = self._as_left(hold) if hold else None
        if left is not None and left.found is not None and left.checkpoint_id == asked:
            return {name: left.channels.get(name, _Channel()).told() for name in channels}
        found = await super().aget_delta_channel_history(config=config, channels=channels)
        begun = self._left.get(hold.thread_id) if hold else None
        if hold and begun is not None and begun.wanted and begun.checkpoint_id == asked:
            self._forget(hold.thread_id)
            begun.channels |= {name: _channel(found[name]) for name in begun.wanted & found.keys()}
            begun.wanted -= found.keys()
            self._keep(hold.thread_id, begun)
        return found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        if hold := self._hold(config):
            # Before it is written: the first step of a turn does not wait for the checkpoint of its input.
            self._went_on(hold, config, checkpoint, metadata)
        try:
            return await super().aput(config, checkpoint, metadata, new_versions)
        except BaseException:
            self._forget(place_of(config)[0])  # nobody knows what stands there
            raise

    def _went_on(
        self, hold: Hold, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata
    ) -> None:
        parent, left = config["configurable"].get("checkpoint_id"), self._left.get(hold.thread_id)
        self._forget(hold.thread_id)
        if not parent:
            left = _Left(hold.fence, hold.born, "", {}, {})
        elif left is None or left.wanted or left.checkpoint_id != parent or not left.is_of(hold):
            return
        left.went_on(checkpoint, self._deltas, hold.fence)
        updated = checkpoint.get("updated_channels")
        if updated is not None and not any(steps_behind(updated)):
            left.found = _tuple(config, checkpoint, self._marked(metadata))
        self._keep(hold.thread_id, left)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        if hold := self._hold(config):
            self._wrote(hold, config, writes, task_id, task_path)
        try:
            await super().aput_writes(config, writes, task_id, task_path)
        except BaseException:
            self._forget(place_of(config)[0])
            raise

    def _wrote(
        self,
        hold: Hold,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str,
    ) -> None:
        left = self._left.get(hold.thread_id)
        at = config["configurable"].get("checkpoint_id")
        if left is None or left.wanted or left.checkpoint_id != at or not left.is_of(hold):
            self._forget(hold.thread_id)
            return
        left.fence, left.found = hold.fence, None
        for place, (name, value) in enumerate(writes):
            if name in self._deltas:
                # As in the database: what a task wrote stands as it was first.
                write = (task_path, task_id, place, (task_id, name, value))
                left.written.setdefault((task_id, place), write)

    async def adelete_thread(self, thread_id: str) -> None:
        self._forget(str(thread_id))
        await super().adelete_thread(thread_id)

    def _hold(self, config: RunnableConfig) -> Hold | None:
        """The hold of the run that works on the thread itself, and not on a graph inside of a step."""
        thread_id, space = place_of(config)
        hold = holding()
        if not self._deltas or space or hold is None or hold.thread_id != thread_id:
            return None
        if hold.run_id:
            return hold
        self._forget(thread_id)  # by upkeep
        return None

    def _as_left(self, hold: Hold) -> _Left | None:
        """What this process left, where the run behind which this one comes was the one that left it."""
        if self._connections != self._writer.connections:
            # A server that lost what it had committed, at a fail-over, counts holds as before.
            self._connections = self._writer.connections
            self._forget_all()
        left = self._left.get(hold.thread_id)
        is_next = left is not None and left.born == hold.born and left.fence + 1 == hold.fence
        return left if is_next and not hold.dirty else None

    def _begin(self, hold: Hold, checkpoint: Checkpoint) -> None:
        """A thread at a checkpoint that was just read; its history is about to be."""
        snapshots = _snapshots(checkpoint, self._deltas)
        wanted = (checkpoint["channel_versions"].keys() & self._deltas) - snapshots.keys()
        self._keep(hold.thread_id, _Left(hold.fence, hold.born, checkpoint["id"], {}, snapshots, set(wanted)))

    def _keep(self, thread_id: str, left: _Left) -> None:
        self._forget(thread_id)
        if left.weight > BYTES_EACH:
            return
        self._left[thread_id] = left
        left.counted = left.weight
        self._bytes += left.counted
        while self._bytes > BYTES or len(self._left) > THREADS:
            self._forget(next(iter(self._left)))

    def _forget_all(self) -> None:
        self._left.clear()
        self._bytes = 0

    def _forget(self, thread_id: str) -> None:
        left = self._left.pop(thread_id, None)
        if left is not None:
            self._bytes -= left.counted


class ThreadSqliteSaver(Enduring, Remembering, WrittenSqliteSaver):
    """The saver of a service: it also keeps what this graph does not know (`graph.checkpoints.carrying`)."""


def _channel(history: DeltaChannelHistory) -> _Channel:
    seed, writes = history.get("seed"), history["writes"]
    weight = _weight(seed) + sum(_weight(value) for _, _, value in writes)
    return _Channel(seed, list(writes), weight)


def _snapshots(checkpoint: Checkpoint, deltas: Collection[str]) -> dict[str, Any]:
    values = checkpoint["channel_values"]
    return {name: values[name] for name in values.keys() & deltas}


def _tuple(config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata) -> CheckpointTuple:
    """As it will be read: what stands beside the values is plain JSON there."""
    thread_id, space = place_of(config)
    parent = config["configurable"].get("checkpoint_id")

    def at(checkpoint_id: str) -> RunnableConfig:
        place = {"thread_id": thread_id, "checkpoint_ns": space, "checkpoint_id": checkpoint_id}
        return {"configurable": place}

    told = json.loads(json.dumps(get_serializable_checkpoint_metadata(config, metadata)))
    return CheckpointTuple(at(checkpoint["id"]), checkpoint, told, at(parent) if parent else None, [])


def _own_tuple(found: CheckpointTuple) -> CheckpointTuple:
    """A copy: LangGraph writes into what it was given."""
    checkpoint = found.checkpoint
    values = {
        name: _own_list(value) if isinstance(value, _DeltaSnapshot) else copy.deepcopy(value)
        for name, value in checkpoint["channel_values"].items()
    }
    seen = {name: dict(versions) for name, versions in checkpoint["versions_seen"].items()}
    versions = dict(checkpoint["channel_versions"])
    own = {**checkpoint, "channel_values": values, "channel_versions": versions, "versions_seen": seen}
    return found._replace(checkpoint=cast("Checkpoint", own), metadata=copy.deepcopy(found.metadata))


def _own_list(seed: Any) -> Any:
    value = seed.value if isinstance(seed, _DeltaSnapshot) else seed
    if not isinstance(value, list):
        return seed
    return _DeltaSnapshot(list(value)) if isinstance(seed, _DeltaSnapshot) else list(value)


def _weight(value: Any) -> int:
    """About how many bytes it takes."""
    if isinstance(value, _DeltaSnapshot):
        return _weight(value.value)
    if isinstance(value, list | tuple):
        return sum(map(_weight, value))
    if isinstance(value, dict):
        return sum(map(_weight, value.values()))
    if isinstance(value, BaseMessage):
        return _A_MESSAGE + sum(map(_weight, vars(value).values()))
    return len(value) if isinstance(value, str | bytes) else 8
