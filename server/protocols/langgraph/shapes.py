"""Threads, states, runs and assistants as the SDK reads them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from langgraph.types import PregelTask, StateSnapshot

from graph.agent import Agent
from graph.runs.record import RunRecord
from graph.threads.history.look import id_before, id_of, questioned
from server.protocols.langgraph.words import (
    ASSISTANT,
    GRAPH,
    RUN_STATUS,
    THREAD_STATUS,
    questions_json,
    values_json,
)

_BEGINNING = "1970-01-01T00:00:00+00:00"
OURS = {"graph_id": GRAPH, "assistant_id": ASSISTANT}


def assistant_json() -> dict[str, Any]:
    """The one assistant."""
    return {
        "assistant_id": ASSISTANT,
        "graph_id": GRAPH,
        "name": GRAPH,
        "description": None,
        "config": {},
        "context": {},
        "metadata": {"created_by": "system"},
        "version": 1,
        "created_at": _BEGINNING,
        "updated_at": _BEGINNING,
    }


def thread_json(row: Mapping[str, Any], snapshot: StateSnapshot | None = None) -> dict[str, Any]:
    """A thread, with what its state holds where that was read."""
    notes = {**OURS, **({"title": row["title"]} if row["title"] else {}), **row["metadata"]}
    found = {
        "thread_id": row["id"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "state_updated_at": row["updated_at"],
        "metadata": notes,
        "status": THREAD_STATUS.get(row["status"], "idle"),
        "config": {},
        "values": None,
        "interrupts": {},
        "error": None,
    }
    if snapshot is not None and id_of(snapshot) is not None:
        found["values"] = values_json(snapshot.values)
        # A question that was cancelled stands in the checkpoint until the next turn settles it.
        if row["status"] == "interrupted":
            found["interrupts"] = {task.id: _asked(task) for task in snapshot.tasks if task.interrupts}
    return found


def state_json(thread_id: str, snapshot: StateSnapshot, parent: str | None = None) -> dict[str, Any]:
    """The state at a checkpoint.

    Args:
        parent: The checkpoint that is told as the one before it.
    """
    found, before = id_of(snapshot), parent or id_before(snapshot)
    return {
        "values": values_json(snapshot.values) if found else {},
        "next": list(snapshot.next),
        "tasks": [_task(task) for task in snapshot.tasks],
        "metadata": {k: v for k, v in (snapshot.metadata or {}).items() if k in ("source", "step")},
        "created_at": snapshot.created_at,
        "checkpoint": checkpoint_json(thread_id, found),
        "parent_checkpoint": checkpoint_json(thread_id, before),
        "interrupts": [asked for task in snapshot.tasks for asked in _asked(task)],
        "checkpoint_id": found,
        "parent_checkpoint_id": before,
    }


def checkpoint_json(thread_id: str, checkpoint_id: str | None) -> dict[str, Any] | None:
    """Where a checkpoint is; None where there is none."""
    if checkpoint_id is None:
        return None
    return {"thread_id": thread_id, "checkpoint_ns": "", "checkpoint_id": checkpoint_id}


def _task(task: PregelTask) -> dict[str, Any]:
    return {
        "id": task.id,
        "name": task.name,
        "path": list(task.path),
        "error": None if task.error is None else type(task.error).__name__,
        "interrupts": _asked(task),
        "checkpoint": None,
        "state": None,
        "result": None,
    }


def _asked(task: PregelTask) -> list[dict[str, Any]]:
    return questions_json(questioned(one) for one in task.interrupts)


def run_json(record: RunRecord) -> dict[str, Any]:
    """A run."""
    shown = record.as_json()
    late = record.error is not None and record.error.get("code") == "turn_timed_out"
    return {
        "run_id": record.id,
        "thread_id": record.thread_id,
        "assistant_id": ASSISTANT,
        "created_at": shown["created_at"],
        "updated_at": shown["ended_at"] or shown["started_at"] or shown["created_at"],
        "status": "timeout" if late else RUN_STATUS.get(record.status, "running"),
        "metadata": dict(record.request.about),
        "kwargs": {},
        "multitask_strategy": record.request.on_busy,
    }


def selected(found: Mapping[str, Any], wanted: Collection[str] | None) -> dict[str, Any]:
    """The fields that are wanted, `values.messages` for one key of `values`; all where nothing is said."""
    if not wanted:
        return dict(found)
    chosen = {name: found[name] for name in wanted if name in found}
    keys = [name.partition(".")[2] for name in wanted if name.startswith("values.")]
    if keys and "values" not in chosen:
        values = found.get("values") or {}
        chosen["values"] = {key: values[key] for key in keys if key in values}
    return chosen


async def values_at_end(agent: Agent, record: RunRecord) -> dict[str, Any]:
    """The thread's values where this run has ended, also when others came behind it."""
    who, checkpoints = record.request.principal, agent.threads.checkpoints
    if record.message_id is None:
        return values_json((await checkpoints.at(who, record.thread_id)).values)
    return values_json((await checkpoints.end_of(who, record.thread_id, record.message_id)).values)


async def final_values(agent: Agent, record: RunRecord) -> dict[str, Any]:
    """What `wait` and `join` answer: the values at the end of the run, and the questions that wait there."""
    values = await values_at_end(agent, record)
    asked = (record.output or {}).get("interrupts") if record.status == "interrupted" else None
    return {**values, "__interrupt__": questions_json(asked)} if asked else values
