"""Two real PostgreSQL servers: a primary, and a synchronous standby that takes its place when it is gone."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from sqlalchemy.engine import URL

from waystation.testing.postgres import USER, PostgresServer

PATIENCE_SECONDS = 60.0
NAME = "standby"


class Standby(PostgresServer):
    """Follows a primary from a copy of its data."""

    def __init__(self, primary: PostgresServer, port: int | None = None) -> None:
        super().__init__()
        self.port = port or self.port
        self._primary = primary

    def _make_data(self) -> None:
        source = f"host={self.address} port={self._primary.port} user={USER} application_name={NAME}"
        self._run("pg_basebackup", "-D", str(self._data), "-d", source, "-R", "-c", "fast", "--no-sync")

    def promote(self) -> None:
        """Take writes from now on; returns when it does."""
        self.execute("SELECT pg_promote(wait => false)")
        until(self, "SELECT 1 WHERE NOT pg_is_in_recovery()")


class Pair:
    """A primary and its standby; what is committed stands on both. `url` names both servers.

    They keep their two ports: after a fail-over a new standby comes where the primary was.
    """

    def __init__(self) -> None:
        self.primary: PostgresServer = PostgresServer()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            self._stack.enter_context(self.primary)
            self.standby = self._followed(None)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stack.close()

    def url(self, database: URL) -> str:
        """`storage.url` for a database of the primary."""
        ports = sorted([self.primary.port, self.standby.port])
        servers = ",".join(f"{database.host}:{port}" for port in ports)
        return f"postgresql://{database.username}@{servers}/{database.database}"

    def lose(self) -> None:
        """kill -9 of the primary and all its processes: as when its host is gone."""
        lost(self.primary)

    def fail_over(self) -> None:
        """The standby takes writes."""
        self.standby.promote()

    def make_whole(self) -> None:
        """A new standby where the lost primary was."""
        port, self.primary = self.primary.port, self.standby
        self.standby = self._followed(port)

    def _followed(self, port: int | None) -> Standby:
        standby = self._stack.enter_context(Standby(self.primary, port))
        # Commits wait for it from here on.
        self.primary.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{NAME}'")
        self.primary.execute("SELECT pg_reload_conf()")
        until(self.primary, "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")
        return standby


def lost(server: PostgresServer) -> None:
    """kill -9 of a server and its children; it can be left, and not be started again."""
    pid = server.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in (pid, *map(int, children)):
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    server.kill()


def until(server: PostgresServer, query: str) -> None:
    """Returns when the query has a row."""
    dsn = server.url().set(drivername="postgresql").render_as_string()
    deadline = time.monotonic() + PATIENCE_SECONDS
    with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as db:
        while db.execute(query).fetchone() is None:
            assert time.monotonic() < deadline, f"this never came: {query}"
            time.sleep(0.01)  # another program: there is no event to wait for
