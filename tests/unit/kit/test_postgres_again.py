"""A database that was used is as a new one for the next test, or is not there any more."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest
from sqlalchemy.engine import URL

from waystation.testing.postgres import PostgresServer
from waystation.testing.postgres_again import Databases

MESSAGE = (
    "INSERT INTO transcript (thread_id, message_id, role, text, extra, created_at) "
    "VALUES ('t', 'm', 'user', 'hello', '{}', 0) RETURNING seq"
)


@pytest.fixture
def databases(postgres_server: PostgresServer) -> Databases:
    return Databases(postgres_server)


def opened(url: URL) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url.set(drivername="postgresql").render_as_string(), autocommit=True)


def oid(url: URL) -> object:
    with closing(opened(url)) as db:
        return db.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()


def test_nothing_of_a_test_is_left_for_the_next(databases: Databases) -> None:
    first = databases.take()
    with closing(opened(first)) as db:
        begun = db.execute(MESSAGE).fetchone()
        db.execute("CREATE TABLE run_events_x PARTITION OF run_events FOR VALUES FROM ('y') TO ('z')")
    same = oid(first)
    databases.give_back(first)
    second = databases.take()
    assert oid(second) == same
    with closing(opened(second)) as db:
        assert db.execute("SELECT count(*) FROM transcript").fetchone() == (0,)
        assert db.execute("SELECT to_regclass('run_events_x')").fetchone() == (None,)
        assert db.execute(MESSAGE).fetchone() == begun


def test_who_was_connected_is_cut_off_and_does_not_find_it_again(databases: Databases) -> None:
    url = databases.take()
    with closing(opened(url)) as db:
        databases.give_back(url)
        with pytest.raises(psycopg.OperationalError):
            db.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        opened(url)


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE more (id int)",
        "ALTER TABLE threads ADD more int",
        "DROP INDEX threads_by_owner",
        "REVOKE SELECT ON threads FROM waystation",
        "ALTER TABLE runs ALTER status SET DEFAULT 'x'",
        "UPDATE alembic_version SET version_num = 'other'",
        "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET work_mem = 100'; END $$",
    ],
)
def test_one_that_was_changed_is_not_used_again(databases: Databases, change: str) -> None:
    url = databases.take()
    with closing(opened(url)) as db:
        db.execute(change.encode())
    before = oid(url)
    databases.give_back(url)
    new = databases.take()
    assert oid(new) != before
    databases.give_back(new)
