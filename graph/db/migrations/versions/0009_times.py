"""What a run cost, and when each of its steps worked."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("runs", sa.Column("cost", sa.Float))
    op.add_column("runs", sa.Column("steps", sa.JSON))
