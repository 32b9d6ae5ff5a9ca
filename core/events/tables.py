"""Webhook deliveries: the body stands here, so that the queue carries only its id."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, String, Table, Text

from core.database.engine import METADATA

webhook_deliveries = Table(
    "webhook_deliveries",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("hook", String(64), nullable=False),
    # Set where a run's caller named the receiver, and not the settings.
    Column("url", Text),
    Column("event", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
    Index("webhook_deliveries_by_status", "status", "created_at"),
)
