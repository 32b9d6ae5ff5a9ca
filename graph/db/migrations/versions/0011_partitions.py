"""What runs told stands in partitions, on PostgreSQL: the table that was there becomes the first of them.

No row is copied. A release from before writes by the same names: its rows go into the first partition.
"""

from alembic import op

revision = "0011"
down_revision = "0010"

_TOOK_OVER = (
    # Behind a long reader, who serves would wait behind this as well; the start fails instead.
    "SET LOCAL lock_timeout = '3s'",
    "ALTER TABLE run_events RENAME TO run_events_before",
    "ALTER INDEX run_events_pkey RENAME TO run_events_before_pkey",
    "ALTER INDEX run_events_by_thread RENAME TO run_events_before_by_thread",
    "ALTER INDEX run_events_by_age RENAME TO run_events_before_by_age",
    "CREATE TABLE run_events (LIKE run_events_before INCLUDING DEFAULTS) PARTITION BY RANGE (run_id)",
    "ALTER TABLE run_events ADD PRIMARY KEY (run_id, seq)",
    "CREATE INDEX run_events_by_thread ON run_events (thread_id)",
    "CREATE INDEX run_events_by_age ON run_events (created_at)",
    "CREATE TABLE run_events_default (LIKE run_events INCLUDING ALL)",
    # Of the random ids from before, one in 4096 begins like those that have a time in them.
    (
        "WITH moved AS (DELETE FROM run_events_before WHERE run_id >= 'r_fff' RETURNING *)"
        " INSERT INTO run_events_default SELECT * FROM moved"
    ),
    # PostgreSQL reads the table once, to see that every row belongs there.
    "ALTER TABLE run_events ATTACH PARTITION run_events_before FOR VALUES FROM (MINVALUE) TO ('r_fff')",
    "ALTER TABLE run_events ATTACH PARTITION run_events_default DEFAULT",
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for statement in _TOOK_OVER:
            op.execute(statement)
