"""The service through pgbouncer, which shares connections by transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import psycopg
import pytest

from core.access import Principal
from core.database.engine import database_url, session_of
from core.database.postgres import NOTICES
from core.health import HealthState
from core.settings import Places
from core.settings.platform import StorageSettings
from core.signals import Signals
from graph import Agent
from graph.db.database import opened_database
from graph.runs.record import TurnRequest
from tests.campaigns.victims import plain
from tests.kit.pgbouncer import MISSING, PROGRAM, Pooler
from waystation.testing.agents import context_at
from waystation.testing.postgres import PostgresServer

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)

LOCAL = Principal("local")
WAIT_S = 60.0


@pytest.fixture(scope="module")
def direct(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.create_database()
    yield plain(url)
    postgres_server.drop_database(url)


@pytest.fixture(scope="module")
def pooled(direct: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    # Fewer connections than the processes have: each statement may come by another one.
    with Pooler(direct, tmp_path_factory.mktemp("pooler"), connections=4) as pooler:
        yield pooler.url


@pytest.fixture(params=["listens", "looks"])
async def two(
    request: pytest.FixtureRequest, tmp_path: Path, direct: str, pooled: str
) -> AsyncIterator[tuple[Agent, Agent]]:
    """Who answers and who executes, with the server's own address or without."""
    listen = {"listen_url": direct} if request.param == "listens" else {}
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(
                Agent.open(
                    context_at(
                        tmp_path / role,
                        storage={"url": pooled, **listen},
                        server={"role": role},
                        mcp={"bundled": False},
                        modules={"disabled": ["rag"]},
                    ),
                    worker=True,
                )
            )
            for role in ("api", "worker")
        ]
        yield opened[0], opened[1]


async def test_turns_are_handed_over_and_read_through_a_pooler(
    two: tuple[Agent, Agent], request: pytest.FixtureRequest
) -> None:
    api, _ = two
    name = request.node.callspec.id
    listens = name == "listens"
    health = await (await api.container.get(Signals)).check()
    assert (health.state is HealthState.HEALTHY) is listens
    assert listens or "storage.listen_url" in health.reason

    async def turns(thread: str) -> None:
        for number in range(3):
            run = await api.begin(TurnRequest(LOCAL, f"hello {number}", thread_id=thread))
            events = [event async for event in run.events()]
            assert events[-1]["status"] == "done", events[-1]
            kinds = [event["type"] for event in events if event.get("code") != "waiting_for_worker"]
            assert kinds[0] == "run_started"

    async with asyncio.timeout(WAIT_S):
        await asyncio.gather(*(turns(f"{name}{number}") for number in range(4)))


async def test_timeouts_are_set_where_the_connection_is_the_server_s_own(
    direct: str, pooled: str, tmp_path: Path
) -> None:
    wanted = StorageSettings(url=direct, statement_seconds=12, idle_transaction_seconds=34)
    for url, told in ((direct, ["12s", "34s"]), (pooled, ["0", "0"])):
        found = database_url(StorageSettings(url=url), Places(tmp_path, tmp_path))
        async with opened_database(found, session=session_of(wanted)) as engine, engine.connect() as db:
            names = ("statement_timeout", "idle_in_transaction_session_timeout")
            assert [(await db.exec_driver_sql(f"SHOW {name}")).scalar() for name in names] == told
    with psycopg.connect(pooled, prepare_threshold=None) as db:
        assert db.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)


async def test_a_server_is_told_to_look_after_its_clients_and_a_pooler_is_not(
    direct: str, pooled: str, tmp_path: Path
) -> None:
    told: list[dict[str, str]] = []
    for url in (direct, pooled):
        found = database_url(StorageSettings(url=url), Places(tmp_path, tmp_path))
        async with opened_database(found) as engine, engine.connect() as db:
            rows = await db.exec_driver_sql(
                "SELECT name, setting || coalesce(unit, '') AS value FROM pg_settings"
                " WHERE source = 'session'"
            )
            told.append({row["name"]: row["value"] for row in rows.mappings() if row["name"] in NOTICES})
    assert told == [
        {
            "client_connection_check_interval": "5000ms",
            "tcp_keepalives_idle": "10s",
            "tcp_keepalives_interval": "3s",
            "tcp_keepalives_count": "3",
            "tcp_user_timeout": "15000ms",
        },
        {},
    ]
