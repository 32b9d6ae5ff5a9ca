"""What callers and operators of a service see of a database that is away, on every kind of route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from graph import Agent
from graph.db.database import writer_of
from tests.kit.http import client_of, served
from tests.outages.conftest import Database, Killed
from waystation.testing.model_server import ModelServer

WAIT_S = 60.0
SAY = {"input": {"message": "hi"}, "config": {"configurable": {"thread_id": "t"}}}
WRITES = {
    "/agent/invoke": SAY,
    "/agent/stream": SAY,
    "/agent/stream_events": SAY,
    "/chat/invoke": {"input": {"messages": [{"type": "human", "content": "hi"}]}},
    "/threads": {"thread_id": "u"},
    "/threads/t/runs": {"input": {"message": "hi"}},
}
READS = (
    "/threads",
    "/threads/t",
    "/threads/t/transcript",
    "/threads/t/state",
    "/runs/r_x",
    "/runs/r_x/events",
)


@pytest.fixture
async def http(agent: Agent) -> AsyncIterator[httpx.AsyncClient]:
    async with served(agent) as base, client_of(base) as client:
        assert (await client.post("/agent/invoke", json=SAY)).status_code == 200
        yield client


def is_told(answer: httpx.Response) -> None:
    """The one answer of an outage."""
    body = answer.json()
    assert (answer.status_code, body["code"]) == (503, "storage_unavailable"), answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert body["detail"].startswith("the database ")
    assert "Traceback" not in answer.text


async def until_ready(http: httpx.AsyncClient, status: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while (await http.get("/health/ready")).status_code != status:  # noqa: ASYNC110 - the board caches
            await asyncio.sleep(0.1)


async def test_g2_2_every_route_tells_an_outage_and_works_again_behind_it(
    http: httpx.AsyncClient, database: Database
) -> None:
    await database.goes()
    asked = [http.post(path, json=body) for path, body in WRITES.items()]
    # Readers of SQLite are not held up by a writer.
    asked += [http.get(path) for path in READS] if isinstance(database, Killed) else []
    async with asyncio.timeout(WAIT_S):
        for answer in await asyncio.gather(*asked):
            is_told(answer)
    await database.comes_back()
    async with asyncio.timeout(WAIT_S):
        while (await http.post("/agent/invoke", json=SAY)).status_code == 503:  # noqa: ASYNC110 - as clients do
            await asyncio.sleep(0.1)
    said = (await http.get("/threads/t/transcript")).json()["messages"]
    assert [message["text"] for message in said if message["role"] == "user"] == ["hi", "hi"]


async def test_g2_1_a_service_whose_database_is_away_is_not_ready_and_says_why(
    http: httpx.AsyncClient, database: Database
) -> None:
    await until_ready(http, 200)
    assert (await http.get("/health")).json()["platform"]["database"]["state"] == "healthy"
    await database.goes()
    await until_ready(http, 503)
    assert (await http.get("/health/live")).status_code == 200
    found = (await http.get("/health")).json()
    assert found["status"] == "failed"
    assert found["platform"]["database"]["state"] == "failed"
    assert found["platform"]["database"]["reason"]
    await database.comes_back()
    await until_ready(http, 200)


async def test_g2_2_a_disk_that_is_full_is_told_and_costs_no_thread(
    http: httpx.AsyncClient, agent: Agent, database: Database, model_server: ModelServer
) -> None:
    if isinstance(database, Killed):
        pytest.skip("PostgreSQL's disk is not ours to fill")
    async with agent.engine.connect() as db:
        pages = (await db.exec_driver_sql("PRAGMA page_count")).scalar_one()
    await _limit(agent, pages)
    long = {**SAY, "input": {"message": "x" * 60_000}}
    is_told(await http.post("/agent/invoke", json=long))
    await _limit(agent, 1_000_000)
    assert (await http.post("/agent/invoke", json=SAY)).status_code == 200


async def _limit(agent: Agent, pages: int) -> None:
    """No connection of the service's lets the file grow above so many pages."""
    await agent.engine.dispose()
    limit = text(f"PRAGMA max_page_count={pages}")
    async with agent.engine.connect() as db:
        await db.execute(limit)

    async def work(db: AsyncConnection) -> None:
        await db.execute(limit)

    await writer_of(agent.engine).talk(work)
