"""A database that goes away under an agent, and comes back: PostgreSQL stopped or frozen, SQLite locked."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from graph import Agent
from tests.kit.counted_tools import CountedTools
from waystation.testing.agents import context_at
from waystation.testing.model_server import ModelServer
from waystation.testing.postgres import PostgresServer


class Database(Protocol):
    """A database of one agent. `goes` and `comes_back` take it away and give it back.

    Args:
        stores_late: Whether what it was given as it went may be stored when it is back.
    """

    url: str
    stores_late: bool

    async def goes(self) -> None: ...

    async def comes_back(self) -> None: ...


class Killed:
    """PostgreSQL, which crashes, and recovers."""

    stores_late = False

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._is_away = False
        self.address = server.create_database()
        self.url = self.address.set(drivername="postgresql").render_as_string()

    async def goes(self) -> None:
        self._is_away = True
        await asyncio.to_thread(self._take)

    async def comes_back(self) -> None:
        await asyncio.to_thread(self._give)
        self._is_away = False

    def clear(self) -> None:
        """The server is for the next test, whatever became of this one."""
        if self._is_away:
            self._give()
        self._server.drop_database(self.address)

    def _take(self) -> None:
        self._server.kill()

    def _give(self) -> None:
        self._server.start()


class Frozen(Killed):
    """PostgreSQL, which keeps its sockets and answers nothing."""

    stores_late = True

    def _take(self) -> None:
        self._server.freeze()

    def _give(self) -> None:
        self._server.thaw()


class Locked:
    """A SQLite file that another program writes to and does not let go."""

    stores_late = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self.url = f"sqlite:///{path}"

    async def goes(self) -> None:
        # In a thread: a transaction of ours that is open ends only while the event loop runs.
        self._other = sqlite3.connect(self._path, timeout=30, check_same_thread=False)
        await asyncio.to_thread(self._other.execute, "BEGIN IMMEDIATE")

    async def comes_back(self) -> None:
        self._other.rollback()
        self._other.close()


@pytest.fixture(scope="module", autouse=True)
def _as_people_do(people_wait: None) -> None:
    """Outages are what these files are about."""


@pytest.fixture(params=["killed", "frozen", "locked"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Each way to be away."""
    if request.param == "locked":
        yield Locked(tmp_path / "waystation.db")
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    kind = Killed if request.param == "killed" else Frozen
    found = kind(server)
    yield found
    found.clear()


@pytest.fixture
def counted(tmp_path: Path) -> CountedTools:
    return CountedTools(tmp_path / "home")


@pytest.fixture
async def agent(
    tmp_path: Path, counted: CountedTools, model_server: ModelServer, database: Database
) -> AsyncIterator[Agent]:
    async with agent_on(tmp_path, model_server, database.url) as agent:
        yield agent
        model_server.release()


@asynccontextmanager
async def agent_on(folder: Path, model: ModelServer, url: str) -> AsyncIterator[Agent]:
    environ = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "test"}
    context = context_at(
        folder, environ=environ, storage={"url": url}, mcp={"bundled": False}, modules={"disabled": ["rag"]}
    )
    async with Agent.open(context, worker=True) as agent:
        yield agent
