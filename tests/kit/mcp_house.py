"""Two processes of one service for MCP's clients, and what people say there."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.access import Principal
from core.identity.keys import KeyStore
from graph.agent import Agent
from tests.kit.http import client_of, served
from tests.kit.mcp import Old
from waystation.testing.agents import open_agent
from waystation.testing.mcp_servers import PEER
from waystation.testing.model_server import ModelServer, call, say

SERVERS = {
    "calculator": {"require_approval": ["add"]},
    "clock": {"groups": ["staff"]},
    "hotels": {"command": [sys.executable, "-P", str(PEER)]},
}
PEOPLE: Mapping[str, Mapping[str, Any]] = {
    "ada": {"groups": ["staff"]},
    "eve": {"groups": ["staff"]},
    "bob": {},
}
YES = {"action": "accept", "content": {"approve": True}}
LONGEST = 60


@pytest.fixture(scope="module")
def _model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def model(_model: ModelServer) -> ModelServer:
    _model.reset()
    return _model


@dataclass(frozen=True)
class House:
    """Two processes on one home, each with a client of everybody."""

    agent: Agent
    here: Mapping[str, httpx.AsyncClient]
    there: Mapping[str, httpx.AsyncClient]


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory, _model: ModelServer) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("mcp")
    async with AsyncExitStack() as stack:
        agents = [await stack.enter_async_context(opened(folder, _model)) for _ in range(2)]
        store = KeyStore(agents[0].engine)
        keys = {name: (await store.create(name, **more))[1] for name, more in PEOPLE.items()}
        sides: list[dict[str, httpx.AsyncClient]] = []
        for agent in agents:
            base = await stack.enter_async_context(served(agent))
            side = {name: await stack.enter_async_context(client_of(base)) for name in PEOPLE}
            for name, http in side.items():
                http.headers["authorization"] = f"Bearer {keys[name]}"
            sides.append(side)
        yield House(agents[0], *sides)


def opened(folder: Path, model: ModelServer) -> Any:
    return open_agent(
        folder,
        model_url=model.url,
        files={"mcp.json": json.dumps(SERVERS)},
        tools={"calculator", "clock"},
        auth={"mode": "keys"},
        server={"mcp_gateway": True},
    )


def adds(model: ModelServer, match: str) -> None:
    """The model wants a call that a person has to approve."""
    model.script(call("calculator_add", {"a": 5, "b": 3}), say("It is done."), match=match)


async def answer_at(http: httpx.AsyncClient, session: str, question: Mapping[str, Any], given: Any) -> int:
    """Send what a person said to a question; gives the status."""
    message = {"id": question["id"], **given} if "error" in given else {"id": question["id"], "result": given}
    return (await Old(http, session).send(message)).status_code


async def ended(house: House, title: str, status: str) -> None:
    """The run on the thread of this title ends so."""
    ada = Principal("ada")
    [thread] = [row for row in await house.agent.threads.list(ada) if row["title"] == title]
    [run] = await house.agent.runs.list(ada, thread_id=thread["id"], limit=1)
    assert (await house.agent.runs.wait(ada, run.id, timeout=LONGEST)).status == status
