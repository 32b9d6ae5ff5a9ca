"""What runs told stands in partitions on PostgreSQL: any that a source has, and those of the target."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import URL

from graph.db.tables import run_ids_from
from graph.moving.copying import open_end
from graph.moving.database import copy_database
from tests.unit.graph.moving.kit import make_source, rows_of, spelled
from waystation.testing.postgres import PostgresServer

DAY = 24 * 3_600
_COLUMNS = "first, thread_id, type, data, cuts, created_at"


def run(url: URL, *statements: str) -> None:
    with psycopg.connect(spelled(url), autocommit=True) as db:
        for statement in statements:
            db.execute(statement)


def test_events_of_any_partition_come_over_and_none_is_dropped_meanwhile(
    tmp_path: Path, postgres_url: URL, postgres_server: PostgresServer
) -> None:
    make_source(tmp_path, postgres_url)
    since, until, beyond = (run_ids_from(int(time.time()) + days * DAY) for days in (10, 11, 20))
    run(
        postgres_url,
        f"CREATE TABLE later PARTITION OF run_events FOR VALUES FROM ('{since}') TO ('{until}')",
        # Of a release from before partitions, of one by time, and what has none.
        *(
            f"INSERT INTO run_events (run_id, seq, {_COLUMNS})"  # noqa: S608
            f" SELECT '{run_id}', 1, {_COLUMNS} FROM run_events LIMIT 1"
            for run_id in ("r_before", since, beyond)
        ),
    )
    held: list[str] = []

    def drop(done: int, total: int, name: str) -> None:
        if name == "checkpoints" and not held:
            with pytest.raises(psycopg.errors.LockNotAvailable) as found:
                run(postgres_url, "SET lock_timeout = '50ms'", "DROP TABLE later")
            held.append(str(found.value))

    other = postgres_server.create_database(empty=True)
    asyncio.run(copy_database(postgres_url, other, told=drop, running=True))
    assert held, "retention waits for the end of the copy, and tries it again"
    assert rows_of(other) == rows_of(postgres_url)
    with closing(open_end(other, "target")) as end:
        assert "later" not in end.tables(), "the target has partitions of its own"
    postgres_server.drop_database(other)
