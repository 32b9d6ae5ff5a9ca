"""Runs, their events and receipts; threads get a fence, open questions, tags and a parent."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("threads") as threads:
        threads.add_column(sa.Column("fence", sa.Integer, nullable=False, server_default=sa.text("0")))
        threads.add_column(sa.Column("waiting", sa.JSON))
        threads.add_column(sa.Column("tags", sa.JSON, nullable=False, server_default=sa.text("'[]'")))
        threads.add_column(sa.Column("parent", sa.String(64)))
    op.create_index("threads_by_holder", "threads", ["holder"])
    with op.batch_alter_table("webhook_deliveries") as deliveries:
        deliveries.add_column(sa.Column("url", sa.Text))
    _runs()
    _events()
    _receipts()


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("thread_id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("groups", sa.JSON, nullable=False),
        sa.Column("levels", sa.JSON, nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("holder", sa.String(128)),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("message_id", sa.String(64)),
        sa.Column("input_hash", sa.String(64), nullable=False),
        sa.Column("idempotency_key", sa.String(128)),
        sa.Column("policy", sa.String(8), nullable=False),
        sa.Column("place", sa.Float, nullable=False),
        sa.Column("stop_requested", sa.String(16)),
        sa.Column("seq_limit", sa.Integer, nullable=False),
        sa.Column("webhook", sa.Text),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("started_at", sa.Float),
        sa.Column("ended_at", sa.Float),
        sa.Column("output", sa.JSON),
        sa.Column("error", sa.JSON),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("input_tokens", sa.Integer, nullable=False),
        sa.Column("output_tokens", sa.Integer, nullable=False),
        sa.UniqueConstraint("owner", "idempotency_key", name="runs_by_key"),
    )
    op.create_index("runs_by_thread", "runs", ["thread_id", "created_at"])
    op.create_index("runs_by_status", "runs", ["status", "created_at"])
    op.create_index("runs_by_owner", "runs", ["owner", "created_at"])


def _events() -> None:
    op.create_table(
        "run_events",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("first", sa.Integer, nullable=False),
        sa.Column("thread_id", sa.String(64), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("cuts", sa.JSON),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_index("run_events_by_thread", "run_events", ["thread_id"])
    op.create_index("run_events_by_age", "run_events", ["created_at"])


def _receipts() -> None:
    op.create_table(
        "receipts",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("call_id", sa.String(128), primary_key=True),
        sa.Column("thread_id", sa.String(64), nullable=False),
        sa.Column("outcome", sa.JSON),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float),
    )
    op.create_index("receipts_by_thread", "receipts", ["thread_id"])
