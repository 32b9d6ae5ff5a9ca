"""Runs of clients that send their whole conversation each time are found again by what they sent."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("runs", sa.Column("conversation", sa.String(64)))
    op.create_index("runs_by_conversation", "runs", ["conversation"])
