"""What clients keep for a user under names of theirs; and threads that are kept for a time."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("threads", sa.Column("keep_minutes", sa.Float))
    op.create_index(
        "threads_kept_for_a_time",
        "threads",
        ["updated_at"],
        sqlite_where=sa.text("keep_minutes IS NOT NULL"),
        postgresql_where=sa.text("keep_minutes IS NOT NULL"),
    )
    op.create_table(
        "items",
        sa.Column("owner", sa.String(255), primary_key=True),
        sa.Column("namespace", sa.String(512), primary_key=True),
        sa.Column("key", sa.String(256), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("keep_minutes", sa.Float),
        sa.Column("expires_at", sa.Float),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
    )
    op.create_index("items_by_age", "items", ["expires_at"])
