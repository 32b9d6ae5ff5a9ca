"""Runs as the protocol's tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from graph.runs.record import RunRecord
from graph.runs.webhook_body import TASK_STATES
from server.conversations import waiting_text

ENDED = frozenset({"done", "failed", "cancelled"})
OURS = "waystation"


def task_json(
    record: RunRecord, *, base: str, history: int | None = None, artifacts: bool = True
) -> dict[str, Any]:
    """A run as a task.

    Args:
        base: The service's address.
        history: How many of its messages; None for all.
        artifacts: With what came of it.
    """
    output = record.output or {}
    found: dict[str, Any] = {
        "id": record.id,
        "contextId": record.thread_id,
        "status": status_json(
            record.id, record.thread_id, record.status, output=output, error=record.error, at=_at(record)
        ),
    }
    if artifacts and record.status not in ("queued", "running"):
        found["artifacts"] = artifacts_of(record.id, output, base)
    if record.request.message and history != 0:
        found["history"] = [_asked(record)]
    return {**found, "metadata": {OURS: _notes(record, output)}}


def status_json(
    run_id: str,
    thread_id: str,
    status: str,
    *,
    output: Mapping[str, Any],
    error: Mapping[str, Any] | None,
    at: float | None = None,
) -> dict[str, Any]:
    """A task's status: what waits for an answer, and what went wrong, as a message of the agent.

    Args:
        at: Epoch seconds; None for now.
    """
    moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    found: dict[str, Any] = {
        "state": state_of(status, output.get("interrupts") or ()),
        "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    said = _said(status, output, error)
    if said:
        message = {"messageId": f"{run_id}-{status}", "contextId": thread_id, "taskId": run_id}
        found["message"] = {**message, "role": "ROLE_AGENT", "parts": said}
    return found


def state_of(status: str, questions: Sequence[Mapping[str, Any]]) -> str:
    """A run's status by the protocol's name."""
    if status == "interrupted" and questions and all(one.get("kind") == "credential" for one in questions):
        return "TASK_STATE_AUTH_REQUIRED"
    return TASK_STATES[status]


def _said(status: str, output: Mapping[str, Any], error: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if status == "interrupted":
        questions = output.get("interrupts") or ()
        text = waiting_text(output) if questions else "It was stopped; send a message to go on with it."
        return [{"text": text}, *([{"data": {"interrupts": list(questions)}}] if questions else [])]
    if error:
        text = ": ".join(str(error[name]) for name in ("title", "detail") if error.get(name))
        return [{"text": text or "The task failed."}, {"data": {"code": error.get("code") or "error"}}]
    return []


def artifacts_of(run_id: str, output: Mapping[str, Any], base: str) -> list[dict[str, Any]]:
    """The answer and the files of a run."""
    answer = [answer_json(run_id, str(output["answer"]), output)] if output.get("answer") else []
    return [*answer, *(file_json(file, base) for file in output.get("files") or ())]


def answer_json(run_id: str, text: str | None, output: Mapping[str, Any]) -> dict[str, Any]:
    """The answer, or a piece of it; where citations are known they stand behind it as data."""
    parts: list[dict[str, Any]] = [] if text is None else [{"text": text}]
    if cited := output.get("citations"):
        parts.append({"data": {"citations": cited}})
    return {"artifactId": f"{run_id}-answer", "name": "answer", "parts": parts}


def file_json(file: Mapping[str, Any], base: str) -> dict[str, Any]:
    """A file, which its owner gets at the service with the same login."""
    key, name = str(file["key"]), str(file.get("name") or "")
    part = {"url": f"{base}/files/{key}/content", "filename": name, "mediaType": file.get("media_type") or ""}
    return {"artifactId": key, "name": name, "parts": [part]}


def _asked(record: RunRecord) -> dict[str, Any]:
    key = record.message_id or record.id
    found = {"messageId": key, "contextId": record.thread_id, "taskId": record.id, "role": "ROLE_USER"}
    return {**found, "parts": [{"text": record.request.message}]}


def _notes(record: RunRecord, output: Mapping[str, Any]) -> dict[str, Any]:
    shown = record.as_json()
    told = {name: shown[name] for name in ("status", "attempts", "created_at", "usage")}
    return {**told, "tool_calls": output.get("tool_calls") or []}


def _at(record: RunRecord) -> float:
    return record.ended_at or record.started_at or record.created_at
