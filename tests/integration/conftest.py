"""One service for all HTTP tests of a file: the offline model, the bundled tools, one small source."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from graph.agent import Agent
from tests.kit.http import client_of, served
from waystation.testing.agents import BUNDLED, open_agent


@pytest.fixture(scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    async with open_agent(tmp_path_factory.mktemp("service"), tools=BUNDLED, auth={"user": "ada"}) as agent:
        yield agent


@pytest.fixture(scope="module")
async def base(agent: Agent) -> AsyncIterator[str]:
    async with served(agent) as base:
        yield base


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def storage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The section `storage` of a service: every test that asks for it runs on both databases."""
    if request.param == "sqlite":
        yield {"url": f"sqlite:///{tmp_path_factory.mktemp('database') / 'waystation.db'}"}
        return
    server = request.getfixturevalue("postgres_server")
    url = server.create_database()
    yield {"url": url.set(drivername="postgresql").render_as_string()}
    server.drop_database(url)


@pytest.fixture
async def http(base: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(base) as client:
        yield client
