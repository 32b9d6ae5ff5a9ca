"""Keys of API callers. Of the key itself only a digest is stored."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, String, Table

from core.database.engine import METADATA

api_keys = Table(
    "api_keys",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("user", String(255), nullable=False),
    Column("groups", JSON, nullable=False),
    Column("levels", JSON, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("last_used_at", Float),
)
