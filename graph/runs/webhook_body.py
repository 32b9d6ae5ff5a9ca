"""What a webhook is told of a run's end, in our words or in those of a client's protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

RUN_ENDED = "run.ended"
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


_FORMS: Mapping[str, Callable[[Mapping[str, Any], str], dict[str, Any]]] = {"a2a": _task_status}
