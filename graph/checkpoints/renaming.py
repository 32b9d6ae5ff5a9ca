"""Checkpoints read under the names of now: steps that were renamed appear as the graph calls them.

The id of a task is a hash over its checkpoint, its step and its place, so a task of
a renamed step has another one; its pending writes (results, pauses, answers)
are moved to it. The ids of questions to people stay as people saw them:
`questions` says under which id LangGraph expects the answer now.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Iterator, Mapping
from typing import Any, cast

from langgraph._internal._constants import (
    ERROR_SOURCE_NODE,
    NS_END,
    NS_SEP,
    PULL,
    PUSH,
    SNAPSHOT_BUMPS,
)
from langgraph.checkpoint.base import WRITES_IDX_MAP, Checkpoint, CheckpointTuple, PendingWrite
from langgraph.constants import TASKS

# Nothing public tells the id of a task from outside; a test of carrying fails when this changes.
from langgraph.pregel._algo import _xxhash_str as task_hash
from langgraph.types import Interrupt, Send

TRIGGER = "branch:to:"
# Pauses that one task may have had before the one that waits.
_PAUSES = 100


class Renaming:
    """Maps checkpoints of the root graph by a table of old and new names of steps.

    Raises:
        ValueError: The table goes round in circles.
    """

    def __init__(self, table: Mapping[str, str]) -> None:
        self._names = {old: _last(old, table) for old in table}

    def __bool__(self) -> bool:
        return bool(self._names)

    def name(self, node: str) -> str:
        return self._names.get(node, node)

    def channel(self, channel: str) -> str:
        """A channel's name; only those that trigger a step are named after it."""
        if not channel.startswith(TRIGGER):
            return channel
        return TRIGGER + self.name(channel.removeprefix(TRIGGER))

    def mapped(self, found: CheckpointTuple) -> CheckpointTuple:
        """The checkpoint with its pending writes under the names of now."""
        if not self._names or found.config["configurable"].get("checkpoint_ns"):
            return found
        return found._replace(
            checkpoint=self._checkpoint(found.checkpoint), pending_writes=self._writes(found)
        )

    def _writes(self, found: CheckpointTuple) -> list[PendingWrite]:
        """A question or its answers under a task's new id stand instead of those under its old one."""
        moved = {before: after for (_, before), (_, after) in self._tasks(found)}
        given = found.pending_writes or []
        newer = {(task, channel) for task, channel, _ in given if channel in WRITES_IDX_MAP}
        return [
            (moved.get(task, task), self.channel(channel), self._value(channel, value))
            for task, channel, value in given
            if (moved.get(task), channel) not in newer
        ]

    def questions(self, found: CheckpointTuple) -> dict[str, str]:
        """Of the checkpoint as it stands on disk: ids of questions as they were asked -> as they are now."""
        ids: dict[str, str] = {}
        for (old, before), (new, after) in self._tasks(found):
            was, now = f"{old}{NS_END}{before}", f"{new}{NS_END}{after}"
            ids |= {question_id(was, n): question_id(now, n) for n in range(_PAUSES)}
        return ids

    def old_names(self, found: CheckpointTuple) -> set[str]:
        """The old names that stand in what is still to come."""
        checkpoint = found.checkpoint
        sends = checkpoint["channel_values"].get(TASKS) or ()
        names = {packet.node for packet in sends if isinstance(packet, Send)}
        names |= {
            channel.removeprefix(TRIGGER)
            for channel in checkpoint["channel_values"]
            if channel.startswith(TRIGGER)
        }
        return names & self._names.keys()

    def _tasks(self, found: CheckpointTuple) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
        """((old name, task id), (new name, task id)) of every task that a renamed step can have here."""
        space = unhexlify(found.checkpoint["id"].replace("-", ""))
        step = str((found.metadata or {}).get("step", -2) + 1)
        sends = found.checkpoint["channel_values"].get(TASKS) or ()
        for index, packet in enumerate(sends):
            if isinstance(packet, Send) and packet.node in self._names:
                yield self._pair(packet.node, lambda name, at=index: (space, name, step, name, PUSH, str(at)))
        for old in self._names:
            yield self._pair(old, lambda name: (space, name, step, name, PULL, TRIGGER + name))

    def _pair(self, old: str, parts: Any) -> tuple[tuple[str, str], tuple[str, str]]:
        new = self._names[old]
        return (old, task_hash(*parts(old))), (new, task_hash(*parts(new)))

    def _value(self, channel: str, value: Any) -> Any:
        if channel == TASKS:
            return [self._packet(one) for one in value] if isinstance(value, list) else self._packet(value)
        return self.name(value) if channel == ERROR_SOURCE_NODE and isinstance(value, str) else value

    def _packet(self, packet: Any) -> Any:
        if not isinstance(packet, Send) or packet.node not in self._names:
            return packet
        return Send(self._names[packet.node], packet.arg, timeout=packet.timeout)

    def _checkpoint(self, checkpoint: Checkpoint) -> Checkpoint:
        updated = checkpoint.get("updated_channels")
        mapped: dict[str, Any] = {
            **checkpoint,
            "channel_values": self._values(checkpoint),
            "channel_versions": self._newest(checkpoint["channel_versions"]),
            "versions_seen": self._seen(checkpoint["versions_seen"]),
        }
        if updated is not None:
            mapped["updated_channels"] = sorted({self.channel(channel) for channel in updated})
        return cast("Checkpoint", mapped)

    def _values(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Where a step was renamed there and back, the value of the newer name counts."""
        versions = checkpoint["channel_versions"]
        found: dict[str, tuple[Any, Any]] = {}
        for channel, value in checkpoint["channel_values"].items():
            name = self.channel(channel)
            version = versions.get(channel)
            if name not in found or (version is not None and version > found[name][0]):
                found[name] = version, self._value(channel, value)
        return {name: value for name, (_, value) in found.items()}

    def _newest(self, versions: Mapping[str, Any]) -> dict[str, Any]:
        newest: dict[str, Any] = {}
        for channel, version in versions.items():
            name = self.channel(channel)
            newest[name] = max(newest[name], version) if name in newest else version
        return newest

    def _seen(self, seen: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        merged: dict[str, dict[str, Any]] = {}
        for node, versions in seen.items():
            if node == SNAPSHOT_BUMPS:
                merged[node] = {self._bump(key): version for key, version in versions.items()}
                continue
            name = self.name(node)
            pairs = [*merged.get(name, {}).items(), *self._newest(versions).items()]
            merged[name] = {}
            for channel, version in pairs:
                known = merged[name].get(channel)
                merged[name][channel] = version if known is None else max(known, version)
        return merged

    def _bump(self, key: str) -> str:
        """`<node>|<channel>` or `<node>:<channel>`; a step's name has neither sign."""
        node = key.partition(NS_SEP)[0].partition(NS_END)[0]
        return self.name(node) + key.removeprefix(node)


def question_id(space: str, answered: int) -> str:
    """The id of the question that a task of LangGraph asks after so many answers."""
    return Interrupt.from_ns(None, f"{space}{NS_SEP}{answered}" if answered else space).id


def _last(name: str, table: Mapping[str, str]) -> str:
    seen = [name]
    while (name := table.get(name, name)) != seen[-1]:
        if name in seen:
            raise ValueError(
                f"graph/checkpoints/renames.py: {' -> '.join([*seen, name])} goes round in a circle"
            )
        seen.append(name)
    return name
