"""Files that several threads refer to since one was forked from the other."""

from __future__ import annotations

from sqlalchemy import Column, Index, String, Table

from core.database.engine import METADATA

# A tool's file has one thread in file storage. Here stand all that need it, so that it outlives each but
# the last. A file that no fork refers to has no row.
shared_files = Table(
    "shared_files",
    METADATA,
    Column("thread_id", String(64), primary_key=True),
    Column("key", String(64), primary_key=True),
    Index("shared_files_by_key", "key"),
)
