"""What operators and their machines ask."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from core.callers import Scope
from core.task_queue import TaskStatus
from server.shapes.form import Anything, Json, Time


class Live(TypedDict):
    """The process answers."""

    status: Literal["live"]


class Ready(TypedDict):
    """Whether a turn would work now; `reason` where it would have to wait."""

    status: Literal["ready", "degraded", "not ready", "draining"]
    reason: NotRequired[str]


class HealthShown(TypedDict):
    """How one part does, why, and since when."""

    state: Literal["healthy", "degraded", "failed"]
    reason: str
    since: Time | None
    details: Json


class ServiceHealth(TypedDict):
    """How the service does: its modules, and what they lean on."""

    status: Literal["healthy", "degraded", "failed"]
    draining: bool
    modules: dict[str, HealthShown]
    platform: dict[str, HealthShown]


class TaskShown(TypedDict):
    """A task of the queue."""

    id: str
    name: str
    status: TaskStatus
    arguments: Json
    key: str | None
    owner: str
    attempts: int
    progress: float | None
    total: float | None
    message: str
    error: str | None
    cancel_requested: bool
    created_at: Time
    due_at: Time
    started_at: Time | None
    ended_at: Time | None


class KnownTask(TypedDict):
    """A task that may be asked for: the schema of each argument, its schedule and next time."""

    name: str
    arguments: Json
    cron: str | None
    next_at: Time | None


class BreakerShown(TypedDict):
    """A breaker of a process: `failures` of the latest `calls` failed."""

    pid: int
    kind: str
    name: str
    state: str
    since: Time
    failures: int
    calls: int
    reason: str


class BreakerReset(TypedDict):
    """Which breaker was closed."""

    reset: str


class Sizes(TypedDict):
    """Bytes by kind."""

    checkpoints: int
    values: int
    transcript: int
    runs: int
    files: int
    total: int


class ThreadSize(TypedDict):
    """What a thread takes; a deleted one has no owner."""

    thread_id: str
    owner: str
    title: str
    turns: int
    checkpoints: int
    bytes: Sizes


class StorageTotals(TypedDict):
    """What all threads take, and the database on disk."""

    threads: int
    checkpoints: int
    bytes: Sizes
    database_bytes: int
    free_bytes: int | None


class StorageTop(TypedDict):
    """The largest threads, and all together."""

    threads: list[ThreadSize]
    totals: StorageTotals
    duration_ms: float


class SettingShown(TypedDict):
    """A value that holds, and where it comes from. Secrets are masked."""

    key: str
    value: Anything
    origin: str


class ThreadVerdictShown(TypedDict):
    """What the graph of this process would make of a thread; `breaks` says why it would not go on."""

    thread_id: str
    status: str
    checkpoint_id: str
    fingerprint: Literal["same", "different", "none"]
    next: list[str]
    waits: int
    kept: list[str]
    mapped: list[str]
    breaks: list[str]


class DeployReport(TypedDict):
    """Whether threads would go on under the graph of this process."""

    fingerprint: str
    revision: str | None
    head: str
    note: str
    checked: int
    left_out: int
    breaks: int
    threads: list[ThreadVerdictShown]


class KeyShown(TypedDict):
    """An API key, without the key itself."""

    id: str
    name: str
    user: str
    state: str
    groups: list[str]
    levels: list[str]
    scopes: list[Scope]
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Time | None


class KeyMadeShown(KeyShown):
    """A new key; `key` is shown this once."""

    key: str


class PlanShown(TypedDict):
    """A run that is planned by the clock."""

    id: str
    thread_id: str | None
    schedule: str
    timezone: str | None
    enabled: bool
    payload: Json
    metadata: Json
    end_at: Time | None
    next_at: Time | None
    created_at: Time
    updated_at: Time


class SessionShown(TypedDict):
    """Who the caller is; `expires_at` is null without the login of a browser."""

    user: str
    groups: list[str]
    levels: list[str]
    scopes: list[str]
    expires_at: Time | None
