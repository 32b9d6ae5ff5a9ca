"""A task as the ledger keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from core.access import Principal


class TaskStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN = (TaskStatus.QUEUED, TaskStatus.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """One task: what was asked and what became of it. Times are epoch seconds.

    Args:
        attempts: How often it was begun; one that a shutdown cut short does not count.
        error: Why the last attempt failed; "" when none did.
        due_at: Not before this.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    key: str | None
    owner: Principal
    status: TaskStatus
    attempts: int
    progress: float | None
    total: float | None
    message: str
    error: str
    created_at: float
    due_at: float
    started_at: float | None
    ended_at: float | None
    cancel_requested: bool

    @property
    def ended(self) -> bool:
        return self.status not in OPEN

    def as_json(self) -> dict[str, Any]:
        """For people and machines; times as ISO 8601 in UTC."""
        return {
            "id": self.id,
            "name": self.name,
            "status": self.status.value,
            "arguments": dict(self.arguments),
            "key": self.key,
            "owner": self.owner.id,
            "attempts": self.attempts,
            "progress": self.progress,
            "total": self.total,
            "message": self.message,
            "error": self.error,
            "cancel_requested": self.cancel_requested,
            "created_at": _iso(self.created_at),
            "due_at": _iso(self.due_at),
            "started_at": _iso(self.started_at),
            "ended_at": _iso(self.ended_at),
        }


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()
