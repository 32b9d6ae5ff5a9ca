"""What savers of ours do beside LangGraph's.

`Carrying` carries threads from one release of the graph to the next. Put it in front
of a saver: `class Saver(Carrying, AsyncSqliteSaver)`. Then call `serve` with the compiled graph.

- Every checkpoint that is written carries the graph's fingerprint in its metadata.
- Values of channels that the graph does not know stay. LangGraph makes each checkpoint from the channels
  of the graph alone; on SQLite, where values stand inside the checkpoint, the others would be gone with
  the next step, and on PostgreSQL the short ones (text, numbers, true, false), which stand inside too.
- Steps that were renamed are read under their new names.

`Enduring`, in front of that, waits for a database that is away.
`ForeignSerializer` writes values that LangGraph's cannot encode: such a value costs itself, not the thread.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

import ormsgpack
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.base import id as ids
from langgraph.checkpoint.serde.jsonplus import EXT_DELTA_SNAPSHOT, JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.graph.state import CompiledStateGraph

from core.database.outage import endured, outages_told
from core.foreign import storable
from graph.checkpoints.fingerprint import FINGERPRINT, fingerprint
from graph.checkpoints.renames import FORGOTTEN, RENAMED
from graph.checkpoints.renaming import Renaming

Compiled = CompiledStateGraph[Any, Any, Any, Any]
P = ParamSpec("P")
T = TypeVar("T")

REMEMBERED = 4096
# Channels of the machinery: what they hold means something to its own graph only.
_MACHINERY = ("__", "branch:to:", "join:")
_BY_TIME, _LAST = 6, "_last_v6_timestamp"


def go_behind(checkpoint_id: str) -> None:
    """Checkpoints that are made here from now on come behind this one, whatever clock its host had.

    LangGraph takes the greatest id for the newest checkpoint, and makes ids by the clock of the host.
    Where that is behind the clock of the host before, what is made would never be seen again.
    """
    try:
        found = UUID(checkpoint_id)
    except ValueError:
        return
    if found.version == _BY_TIME:
        # As `uuid6` of LangGraph has it; there is no public name for the last one.
        made = (found.int >> 80) << 12 | (found.int >> 64) & 0xFFF
        known = vars(ids)
        known[_LAST] = max(known[_LAST] or 0, made)


class Carrying(BaseCheckpointSaver[str]):
    """Mixin in front of `AsyncSqliteSaver` or `AsyncPostgresSaver`."""

    renaming = Renaming(RENAMED)
    forgotten = FORGOTTEN
    looking: frozenset[str] = frozenset()
    _known: frozenset[str] | None = None
    _fingerprint = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # By thread and namespace: the newest checkpoint seen here, and its channels that the graph
        # does not know. Names only, so that it stays small; most often there are none.
        self._unknown: OrderedDict[tuple[str, str], tuple[str, frozenset[str]]] = OrderedDict()

    def serve(self, graph: Compiled, looking: Collection[str] = ()) -> None:
        """Say which graph this saver works for; before that nothing is carried and nothing is marked.

        Args:
            looking: Its steps that only look something up (see `graph.checkpoints.written`).
        """
        self._known = frozenset(graph.channels)
        self._fingerprint = fingerprint(graph)
        self.looking = frozenset(looking)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        found = await super().aget_tuple(config)
        return None if found is None else self._seen(found)

    async def alist(self, *given: Any, **named: Any) -> AsyncIterator[CheckpointTuple]:
        async for found in super().alist(*given, **named):
            yield self.renaming.mapped(found)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        if self._known is None:
            return await super().aput(config, checkpoint, metadata, new_versions)
        kept = await self._kept(config, checkpoint["channel_versions"])
        # As they stand on disk, also where a checkpoint is written again with values that were read.
        values = {**checkpoint["channel_values"], **kept}
        whole = cast("Checkpoint", {**checkpoint, "channel_values": values})
        written = await super().aput(config, whole, self._marked(metadata), new_versions)
        self._remember(config, checkpoint["id"], frozenset(kept))
        return written

    def _marked(self, metadata: CheckpointMetadata) -> CheckpointMetadata:
        """With the graph's fingerprint; a checkpoint of another graph that is written again keeps its own."""
        written_before = metadata.get("source") in {"input", "loop"} and FINGERPRINT in metadata
        return metadata if written_before else cast("Any", {**metadata, FINGERPRINT: self._fingerprint})

    async def answers_now(self, config: RunnableConfig, answers: Mapping[str, T]) -> dict[str, T]:
        """Answers by the ids that people saw -> by those that LangGraph expects; the same, mostly.

        They differ where the step that asked has been renamed since: then the
        answer must be given under the id that the question has today.
        """
        found = await super().aget_tuple(config) if self.renaming else None
        ids = self.renaming.questions(found) if found else {}
        return {ids.get(key, key): answer for key, answer in answers.items()}

    def _seen(self, found: CheckpointTuple) -> CheckpointTuple:
        go_behind(found.checkpoint["id"])
        if self._known is not None:
            names = self.unknown(found.checkpoint)
            self._remember(found.config, found.checkpoint["id"], names)
        return self.renaming.mapped(found)

    def unknown(self, checkpoint: Checkpoint) -> frozenset[str]:
        """Channels whose values are kept although the graph does not know them.

        Not those with a DeltaChannel's snapshot: their values are put together
        from the checkpoints before, which stay, and would be doubled here.
        """
        known, values = self._known or frozenset(), checkpoint["channel_values"]
        return frozenset(
            name
            for name in values.keys() - known - self.forgotten
            if not name.startswith(_MACHINERY) and not isinstance(values[name], _DeltaSnapshot)
        )

    def unknown_deltas(self, checkpoint: Checkpoint) -> frozenset[str]:
        """Channels that the graph does not know and whose values stand in the checkpoints before this one.

        Whoever deletes those would delete the values: such a thread is not to be compacted.
        """
        whole = self.unknown(checkpoint)
        return frozenset(
            name
            for name in checkpoint["channel_versions"].keys() - (self._known or frozenset()) - self.forgotten
            if not name.startswith(_MACHINERY) and name not in whole
        )

    def _remember(self, config: RunnableConfig, checkpoint_id: str, names: frozenset[str]) -> None:
        key = place_of(config)
        self._unknown[key] = checkpoint_id, names
        self._unknown.move_to_end(key)
        if len(self._unknown) > REMEMBERED:
            self._unknown.popitem(last=False)

    async def _kept(self, config: RunnableConfig, versions: ChannelVersions) -> dict[str, Any]:
        """Values of the checkpoint before that the graph does not know, as they stand on disk."""
        parent = config["configurable"].get("checkpoint_id")
        if not parent:
            return {}
        remembered, names = self._unknown.get(place_of(config), ("", frozenset[str]()))
        if remembered == parent and not names:
            return {}
        # Read with the values left sealed: a class that is gone must not turn into a plain dict for good.
        twin = copy.copy(self)
        twin.serde = SEALED
        found = await super(Carrying, twin).aget_tuple(config)
        if found is None:
            return {}
        values, before = found.checkpoint["channel_values"], found.checkpoint["channel_versions"]
        unmoved = {name for name, version in before.items() if versions.get(name) == version}
        return {name: values[name] for name in self.unknown(found.checkpoint) & unmoved}


def _seal(code: int, data: bytes) -> Any:
    """An object as the bytes that it was stored as; stored again, they are the same."""
    return _DeltaSnapshot(None) if code == EXT_DELTA_SNAPSHOT else ormsgpack.Ext(code, data)


SEALED = JsonPlusSerializer(__unpack_ext_hook__=_seal)


def place_of(config: RunnableConfig) -> tuple[str, str]:
    found = config["configurable"]
    return str(found["thread_id"]), str(found.get("checkpoint_ns", ""))


class Enduring(BaseCheckpointSaver[str]):
    """Mixin through which a turn outlives short outages. Each write comes to the same when it is done again.

    Raises:
        DatabaseUnavailable: From every method, when the database is away for longer than the turn waits.
    """

    async def aget_tuple(self, *given: Any, **named: Any) -> CheckpointTuple | None:
        return await _outlived(super().aget_tuple, *given, **named)

    async def alist(self, *given: Any, **named: Any) -> AsyncIterator[CheckpointTuple]:
        with outages_told():
            async for found in super().alist(*given, **named):
                yield found

    async def aput(self, *given: Any, **named: Any) -> RunnableConfig:
        return await _outlived(super().aput, *given, **named)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        # Written out: LangGraph reads the names of its parameters, and gives no path to who names none. Then
        # the results of one answer's calls stand in the order of random ids.
        await _outlived(super().aput_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        with outages_told():
            await super().adelete_thread(thread_id)

    async def aget_delta_channel_history(self, *given: Any, **named: Any) -> Mapping[str, Any]:
        return await _outlived(super().aget_delta_channel_history, *given, **named)


async def _outlived(work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    async def attempt() -> T:
        with outages_told():
            return await work(*args, **kwargs)

    return await endured(attempt)


class ForeignSerializer(JsonPlusSerializer):
    """LangGraph's serializer, which refuses halves of surrogate pairs and integers of more than 64 bits."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        try:
            return super().dumps_typed(obj)
        except (TypeError, ValueError):
            return super().dumps_typed(_mended(obj))


def _mended(value: Any) -> Any:
    """The value as it can be kept; messages stay messages, and what is no JSON is left to the serializer."""
    if isinstance(value, BaseMessage):
        fields = {name: _mended(field) for name, field in value if name != "type"}
        return type(value).model_construct(**fields)
    if isinstance(value, list | tuple):
        return type(value)(_mended(item) for item in value) if type(value) in (list, tuple) else value
    if isinstance(value, dict):
        return {_plain(key): _mended(item) for key, item in value.items()}
    return _plain(value)


def _plain(value: Any) -> Any:
    return storable(value, weight=None) if isinstance(value, str | int | float) else value
