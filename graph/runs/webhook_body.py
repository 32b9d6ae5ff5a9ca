"""What a webhook is told of a run's end, in our words or in those of a client's protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

RUN_ENDED = "run.ended"
TASK, EARLIER_TASK = "a2a", "a2a-0.3"
# States of A2A's tasks (https://a2a-protocol.org), by the status of a run.
TASK_STATES: Mapping[str, str] = {
    "queued": "TASK_STATE_SUBMITTED",
    "running": "TASK_STATE_WORKING",
    "interrupted": "TASK_STATE_INPUT_REQUIRED",
    "done": "TASK_STATE_COMPLETED",
    "failed": "TASK_STATE_FAILED",
    "cancelled": "TASK_STATE_CANCELED",
}


def webhook_body(told_as: str, shown: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a delivery.

    Args:
        shown: run_id, thread_id, status, reason, output and error of the run.
    """
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _FORMS.get(told_as, _ours)(shown, at)


def _ours(shown: Mapping[str, Any], at: str) -> dict[str, Any]:
    return {"type": RUN_ENDED, "timestamp": at, "data": dict(shown)}


def _task_status(shown: Mapping[str, Any], at: str) -> dict[str, Any]:
    """A2A's StreamResponse; the task itself is asked for by its id."""
    status = {"state": TASK_STATES[str(shown["status"])], "timestamp": at}
    return {"statusUpdate": {"taskId": shown["run_id"], "contextId": shown["thread_id"], "status": status}}


def _earlier_task(shown: Mapping[str, Any], at: str) -> dict[str, Any]:
    """A task of A2A 0.3, whose notifications are tasks."""
    status = {"state": earlier_state(TASK_STATES[str(shown["status"])]), "timestamp": at}
    return {"kind": "task", "id": shown["run_id"], "contextId": shown["thread_id"], "status": status}


def earlier_state(state: str) -> str:
    """A state of a task by its name in A2A 0.3."""
    return state.removeprefix("TASK_STATE_").lower().replace("_", "-")


_FORMS: Mapping[str, Callable[[Mapping[str, Any], str], dict[str, Any]]] = {
    TASK: _task_status,
    EARLIER_TASK: _earlier_task,
}
