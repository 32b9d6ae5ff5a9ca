"""Checkpoints of a thread, read: one, and what differs between two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Interrupt, StateSnapshot

from core.database.outage import storage_outage
from graph.flow.state import as_view
from graph.runs.lease import check_id
from graph.runs.names import renewed_question
from graph.threads.history.errors import CheckpointNotFound

Graph = CompiledStateGraph[Any, Any, Any, Any]
START = "__start__"


async def state_of(graph: Graph, config: RunnableConfig) -> tuple[StateSnapshot, bool]:
    """The state, and whether it refuses what its last step wrote: that is left out of it then.

    A reducer that refuses ends its turn, but the write stays beside the checkpoint. LangGraph puts the two
    together for whoever reads the state and raises again each time; its history has the checkpoint alone.
    """
    try:
        return await graph.aget_state(config), False
    except Exception as error:
        if storage_outage(error) is None:
            async for snapshot in graph.aget_state_history(config, limit=1):
                return snapshot, True
        raise


async def snapshot_at(graph: Graph, thread_id: str, checkpoint_id: str | None = None) -> StateSnapshot:
    """The state at a checkpoint; without an id the newest, which is empty on a thread without any.

    Raises:
        CheckpointNotFound: The thread has no such checkpoint.
    """
    where: dict[str, Any] = {"thread_id": thread_id}
    if checkpoint_id is not None:
        where["checkpoint_id"] = check_id(checkpoint_id)
    snapshot, _ = await state_of(graph, {"configurable": where})
    if checkpoint_id is not None and snapshot.created_at is None:
        raise CheckpointNotFound(thread_id, checkpoint_id)
    return snapshot


def id_of(snapshot: StateSnapshot) -> str | None:
    """The checkpoint's id; None on a thread without any."""
    return _id_in(snapshot.config)


def id_before(snapshot: StateSnapshot) -> str | None:
    """The id of the checkpoint that it follows; None for the first one."""
    return _id_in(snapshot.parent_config)


def _id_in(config: Mapping[str, Any] | None) -> str | None:
    found = (config or {}).get("configurable", {}).get("checkpoint_id")
    return None if found is None else str(found)


def interrupts_of(snapshot: StateSnapshot) -> list[dict[str, Any]]:
    """The questions that wait for a person there, as their events told them."""
    return [questioned(asked) for asked in snapshot.interrupts]


def questioned(asked: Interrupt) -> dict[str, Any]:
    """A question as its event tells it; that of a further step may be a bare text."""
    told = dict(asked.value) if isinstance(asked.value, Mapping) else {"value": asked.value}
    # One about a call is an approval where it does not say, as approvals once did.
    kind = {} if "call" in told else {"kind": "question"}
    return renewed_question({"id": asked.id, **kind, **told})


def state_view(snapshot: StateSnapshot) -> dict[str, Any]:
    """The state as the API tells of it."""
    return {
        "messages": [as_view(message) for message in snapshot.values.get("messages", [])],
        "files": snapshot.values.get("files", []),
        "next": list(snapshot.next),
        "interrupts": interrupts_of(snapshot),
        "checkpoint_id": id_of(snapshot),
    }


def checkpoint_view(snapshot: StateSnapshot) -> dict[str, Any]:
    """A checkpoint as a list of them tells of it."""
    return {
        "checkpoint_id": id_of(snapshot),
        "created_at": snapshot.created_at,
        "step": (snapshot.metadata or {}).get("step"),
        "next": list(snapshot.next),
        "messages": len(snapshot.values.get("messages", [])),
    }


SHOWN_LETTERS = 500
_TOLD_APART = frozenset({"messages", "files"})


def difference(before: StateSnapshot, after: StateSnapshot) -> dict[str, Any]:
    """What was added, removed and changed from one state to the other.

    Messages are told apart by id and files by key. Of other channels those
    are listed whose value differs, long texts in them cut.
    """
    return {
        "from": checkpoint_view(before),
        "to": checkpoint_view(after),
        "messages": _between(_messages(before), _messages(after), lambda message: str(message["id"])),
        "files": _between(
            before.values.get("files") or [], after.values.get("files") or [], lambda file: str(file["key"])
        ),
        "channels": _channels(before.values, after.values),
        "next": _pair(list(before.next), list(after.next)),
        "interrupts": _pair(interrupts_of(before), interrupts_of(after)),
    }


def _messages(snapshot: StateSnapshot) -> list[dict[str, Any]]:
    return [as_view(message) for message in snapshot.values.get("messages") or []]


def _between(
    before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]], name: Callable[[dict[str, Any]], str]
) -> dict[str, Any]:
    old, new = ({name(item): item for item in side} for side in (before, after))
    return {
        "added": [item for key, item in new.items() if key not in old],
        "removed": [item for key, item in old.items() if key not in new],
        "changed": [_pair(old[key], item) for key, item in new.items() if key in old and old[key] != item],
    }


def _channels(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name in sorted((before.keys() | after.keys()) - _TOLD_APART):
        old, new = before.get(name), after.get(name)
        if old != new:
            found[name] = _pair(_short(old), _short(new))
    return found


def _pair(old: Any, new: Any) -> dict[str, Any]:
    return {"from": old, "to": new}


def _short(value: Any) -> Any:
    """The value as JSON, without the bulk: the content of an artifact is megabytes of base64."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _short(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_short(item) for item in value]
    text = str(value)
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}… ({len(text)} characters)"
