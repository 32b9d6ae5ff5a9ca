"""A cursor that the server keeps ends with its connection, however that ends."""

from __future__ import annotations

import psycopg
from sqlalchemy.engine import URL

from graph.moving.postgres import server_cursor


def test_a_cursor_whose_connection_was_cut_is_closed_all_the_same(postgres_url: URL) -> None:
    address = postgres_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as db, psycopg.connect(address, autocommit=True) as other:
        with server_cursor(db, "cut") as cursor:
            cursor.execute("SELECT generate_series(1, 9)")
            assert cursor.fetchone() == (1,)
            other.execute("SELECT pg_terminate_backend(%s)", [db.info.backend_pid])
            while other.execute(
                "SELECT 1 FROM pg_stat_activity WHERE pid = %s", [db.info.backend_pid]
            ).fetchone():
                pass
        assert cursor.closed
        assert db.closed
