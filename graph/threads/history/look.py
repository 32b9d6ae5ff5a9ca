"""One checkpoint of a thread, read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Interrupt, StateSnapshot

from graph.flow.messages import as_view
from graph.runs.new_threads import check_id
from graph.threads.history.errors import CheckpointNotFound

Graph = CompiledStateGraph[Any, Any, Any, Any]
START = "__start__"


async def snapshot_at(graph: Graph, thread_id: str, checkpoint_id: str | None = None) -> StateSnapshot:
    """The state at a checkpoint; without an id the newest, which is empty on a thread without any.

    Raises:
        CheckpointNotFound: The thread has no such checkpoint.
    """
    where: dict[str, Any] = {"thread_id": thread_id}
    if checkpoint_id is not None:
        where["checkpoint_id"] = check_id(checkpoint_id)
    snapshot = await graph.aget_state({"configurable": where})
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
    return {"id": asked.id, **kind, **told}


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
