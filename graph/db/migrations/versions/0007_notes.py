"""What clients note about a thread, under names of theirs."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("threads", sa.Column("metadata", sa.JSON, nullable=False, server_default=sa.text("'{}'")))
