"""What clients note about a thread, under names of theirs; and runs that callers plan by the clock."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("threads", sa.Column("metadata", sa.JSON, nullable=False, server_default=sa.text("'{}'")))
    op.create_table(
        "plans",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("groups", sa.JSON, nullable=False),
        sa.Column("levels", sa.JSON, nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("thread_id", sa.String(64)),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("webhook", sa.Text),
        sa.Column("schedule", sa.String(128), nullable=False),
        sa.Column("timezone", sa.String(128)),
        sa.Column("end_at", sa.Float),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("next_at", sa.Float),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
    )
    op.create_index("plans_by_owner", "plans", ["owner", "created_at"])
    op.create_index("plans_by_time", "plans", ["next_at"])
