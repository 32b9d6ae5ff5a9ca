"""Our tables beside LangGraph's checkpoints."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from core.database import METADATA

threads = Table(
    "threads",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("owner", String(255), nullable=False),
    Column("title", Text, nullable=False, default=""),
    Column("status", String(16), nullable=False, default="idle"),
    Column("turns", Integer, nullable=False, default=0),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    # The run that holds the thread, the process it runs in, and until when that is believed.
    Column("run_id", String(64)),
    Column("holder", String(128)),
    Column("lease_until", Float),
    # True from the start of a turn to its clean end: the next turn repairs first.
    Column("dirty", Boolean, nullable=False, default=False),
    Index("threads_by_owner", "owner", "updated_at", "id"),
)

transcript = Table(
    "transcript",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("thread_id", String(64), nullable=False),
    Column("message_id", String(128), nullable=False),
    Column("role", String(16), nullable=False),
    Column("text", Text, nullable=False),
    Column("extra", JSON, nullable=False, default=dict),
    Column("run_id", String(64)),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("thread_id", "message_id"),
)
