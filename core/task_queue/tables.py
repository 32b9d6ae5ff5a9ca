"""What was asked of the queue and what became of it: the truth, while the queue itself only says "look"."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, String, Table, Text, text

from core.database.engine import METADATA

_OPEN = text("status IN ('queued', 'running')")

tasks = Table(
    "tasks",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("name", String(64), nullable=False),
    # Ids only, never content: the arguments also pass through Redis.
    Column("arguments", JSON, nullable=False),
    # Of two open tasks of one name with one key there is only one.
    Column("key", String(200)),
    # For whom it works: the rights that its steps are checked against.
    Column("owner", String(255), nullable=False),
    Column("groups", JSON, nullable=False),
    Column("levels", JSON, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("progress", Float),
    Column("total", Float),
    Column("message", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("holder", String(128)),
    Column("lease_until", Float),
    Column("cancel_requested", Boolean, nullable=False),
    Index("tasks_by_status", "status", "due_at"),
    Index("tasks_open_key", "name", "key", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
)
