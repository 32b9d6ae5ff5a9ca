"""An address of PostgreSQL with several servers: how it is read, and which of them is asked."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import URL

from core.database import reaching
from core.database.engine import database_url
from core.database.opening import opening_error
from core.database.reaching import connected, connected_now
from core.database.servers import driver_address, read_url, servers_of
from core.errors import ConfigInvalid
from core.settings import Places
from core.settings.platform import StorageSettings
from waystation.testing.postgres import PostgresServer
from waystation.testing.service import free_port

BOTH = {"host": "one,two", "port": "5432,5433", "target_session_attrs": "read-write"}


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:pw@one:5432,two:5433/db",
        "postgresql://me:pw@one,two:5433/db",
        "postgresql+psycopg://me:pw@/db?host=one:5432&host=two:5433",
        "postgresql://me:pw@/db?host=one,two&port=5432,5433",
        "postgresql://me:pw@one:5432,two:5433/db?target_session_attrs=read-write",
    ],
)
def test_several_servers_are_read_however_they_are_written(text: str) -> None:
    url = read_url(text)
    assert dict(url.query) == BOTH
    assert (url.username, url.password, url.database) == ("me", "pw", "db")
    assert servers_of(url) == [("one", "5432"), ("two", "5433")]
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    assert psycopg.conninfo.conninfo_to_dict(plain)["host"] == "one,two"


def test_addresses_of_both_kinds_stand_beside_names() -> None:
    url = read_url("postgresql://me@[fd00::1]:5433,10.0.0.2/db")
    assert servers_of(url) == [("fd00::1", "5433"), ("10.0.0.2", "5432")]


@pytest.mark.parametrize("text", ["postgresql://me:a,b@one/db", "postgresql://me@one/db?options=a,b"])
def test_a_comma_elsewhere_makes_no_second_server(text: str) -> None:
    url = read_url(text)
    assert servers_of(url) == [("one", "5432")]
    assert "target_session_attrs" not in url.query


def test_what_the_url_wants_of_its_servers_stays_when_one_can_write_to_it() -> None:
    assert read_url("postgresql://one,two/db?target_session_attrs=any").query["target_session_attrs"] == "any"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://one,two/db?target_session_attrs=standby", "use read-write"),
        ("postgresql://one:54x,two/db", "is no URL"),
        ("postgresql://one,,two/db", "is no URL"),
        ("postgresql://o ne,two/db", "is no URL"),
        ("postgresql://one,two/db?target_session_attrs=writer", "is no word of PostgreSQL; use read-write"),
        ("postgresql://one,two:70000/db", "a port is a number from 1 to 65535"),
        ("postgresql:///db?host=one,two&port=0", "a port is a number from 1 to 65535"),
        ("postgresql:///db?host=one,two&port=1,2,3", "names 2 servers and 3 ports"),
    ],
)
def test_an_address_that_cannot_work_is_refused_with_its_key(url: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"^storage\.url: ") as refused:
        database_url(StorageSettings(url=url), Places(tmp_path, tmp_path))
    assert says in refused.value.detail


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of somebody who lets in and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


def address(*ports: int) -> str:
    hosts = ",".join("127.0.0.1" for _ in ports)
    return f"postgresql://waystation@/postgres?host={hosts}&port={','.join(map(str, ports))}"


async def test_a_server_that_is_silent_does_not_take_the_patience_for_the_next(
    postgres_server: PostgresServer, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaching, "_found", {})
    asked: list[str] = []

    async def connect(conninfo: str, **options: Any) -> psycopg.AsyncConnection[Any]:
        asked.append(options["port"])
        return await psycopg.AsyncConnection.connect(conninfo, **options)

    both = address(silent, postgres_server.port)
    for _ in range(2):
        async with asyncio.timeout(30):
            connection = await connected(connect, both, connect_timeout=20)
        await connection.close()
    # The second time the one that answered is asked first, and nobody else.
    assert asked == [str(silent), str(postgres_server.port), str(postgres_server.port)]


def test_a_thread_goes_on_to_the_next_and_keeps_to_it(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaching, "_found", {})
    asked = itertools.count()

    def connect(conninfo: str, **options: Any) -> psycopg.Connection[Any]:
        next(asked)
        return psycopg.connect(conninfo, **options)

    both = address(free_port(), postgres_server.port)
    for _ in range(2):
        connected_now(connect, both).close()
    assert next(asked) == 3


async def test_where_none_takes_it_each_has_said_why() -> None:
    ports = free_port(), free_port()
    with pytest.raises(psycopg.OperationalError) as now:
        connected_now(psycopg.connect, address(*ports))
    with pytest.raises(psycopg.OperationalError) as later:
        await connected(psycopg.AsyncConnection.connect, address(*ports))
    for told in (now, later):
        assert all(f"{port}" in str(told.value) for port in ports)


async def test_what_is_no_fault_of_a_server_is_not_asked_of_the_next() -> None:
    async def connect(conninfo: str, **options: Any) -> psycopg.AsyncConnection[Any]:
        raise psycopg.ProgrammingError("invalid connection option")

    with pytest.raises(psycopg.ProgrammingError):
        await connected(connect, address(1, 2))


async def test_ports_that_do_not_fit_the_hosts_are_told_by_the_driver() -> None:
    with pytest.raises(psycopg.OperationalError, match="could not match"):
        await connected(psycopg.AsyncConnection.connect, "host=127.0.0.1,127.0.0.1,127.0.0.1 port=1,2")


def test_servers_that_take_no_writes_are_told_so_at_the_opening() -> None:
    url = URL.create("postgresql+psycopg", "me", database="db", query=BOTH)
    told = opening_error(url, psycopg.OperationalError("connection failed: session is read-only"))
    assert told is not None
    assert "PostgreSQL at one,two takes no writes" in told.detail


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ada:p%40ss%3Aw%2Frd%3F%23%25%20x+y@h/n",
        "postgresql://a%20b@h/n%20m?options=-c%20geqo%3Doff&application_name=a%2Bb",
    ],
)
def test_the_driver_reads_the_same_names_and_passwords_out_of_an_address(text: str) -> None:
    assert conninfo_to_dict(driver_address(read_url(text))) == conninfo_to_dict(text)
