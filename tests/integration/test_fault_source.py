"""A retrieval service that fails: turns go on without it, it is left alone, and it comes back by itself."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from core.events import EventBus
from core.events.recorder import record
from core.resilience import BreakerClosed, BreakerOpened
from graph.agent import Agent
from nodes.rag.events import RetrievalDone
from tests.kit.http import client_of, served
from tests.kit.task_queues import eventually
from waystation.testing.agents import context_at, write_config
from waystation.testing.rag_server import RagServer

TIMEOUT_S = 2.0
# What a turn may take beside its search, on a machine with other work to do.
SLACK_S = 6.0
RECOVERY_S = 30.0
QUICK = {"source": {"in_a_row": 3, "open_s": 8, "backoff_s": 0.05}}
USERS = ("ada", "bob", "cy")


class World:
    """An agent over `harbour`, which is local, and `wiki`, which the test makes fail."""

    def __init__(self, agent: Agent, bus: EventBus, http: httpx.AsyncClient) -> None:
        self.agent = agent
        self.bus = bus
        self._http = http
        self._number = 0

    async def turn(self, user: str = "ada", **choice: Any) -> dict[str, Any]:
        """The `documents` event of a turn that ended well, with the seconds that the turn took."""
        self._number += 1  # what is kept of an earlier question would answer this one
        message = f"How many days is a berth reserved, and how many days of annual leave? {self._number}"
        began = time.monotonic()
        events = [event async for event in self.agent.stream(message, user=user, **choice)]
        assert events[-1]["type"] == "done", events[-1]
        assert events[-1]["status"] == "done"
        [documents] = [event for event in events if event["type"] == "documents"]
        return {**documents, "seconds": time.monotonic() - began}

    async def health(self) -> dict[str, Any]:
        """What `/health` says of retrieval, and of the breakers."""
        body = (await self._http.get("/health")).json()
        return {"rag": body["modules"]["rag"], "breakers": body["platform"]["breakers"]}

    async def well(self) -> bool:
        return all(found["state"] == "healthy" for found in (await self.health()).values())

    async def answered(self) -> bool:
        return sources(await self.turn()) == {"harbour", "wiki"}


def sources(documents: dict[str, Any]) -> set[str]:
    return {item["source"] for item in documents["items"]}


@pytest.fixture(scope="module")
def wiki() -> Iterator[RagServer]:
    with RagServer() as server:
        yield server


@pytest.fixture(scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory, wiki: RagServer) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("fault")
    entries = {
        "harbour": {"type": "local", "path": "../harbour"},
        "wiki": {"type": "http", "url": wiki.url, "timeout": TIMEOUT_S},
    }
    write_config(folder, files={"sources.yaml": json.dumps(entries)})
    async with (
        Agent.open(context_at(folder, resilience=QUICK)) as agent,
        served(agent) as base,
        client_of(base) as http,
    ):
        yield World(agent, await agent.container.get(EventBus), http)


@pytest.fixture
async def world(opened: World, wiki: RagServer) -> World:
    """With everything well."""
    wiki.forget()
    await eventually(opened.answered)
    return opened


async def test_a_source_that_hangs_takes_nobody_with_it_and_comes_back(world: World, wiki: RagServer) -> None:
    with record(world.bus, BreakerOpened, BreakerClosed, RetrievalDone) as seen:
        wiki.behave(fault="hang")
        hit = asyncio.gather(*(world.turn(user) for user in USERS))
        untouched = await world.turn("dee", sources=["harbour"])
        assert (sources(untouched), untouched["failed"]) == ({"harbour"}, [])
        assert untouched["seconds"] < SLACK_S
        for found in await hit:
            assert sources(found) == {"harbour"}
            assert found["failed"] == [{"source": "wiki", "reason": f"no answer within {TIMEOUT_S:g} s"}]
            assert found["seconds"] < TIMEOUT_S + SLACK_S
        [opened] = await seen.wait_for(BreakerOpened)
        assert (opened.kind, opened.name) == ("source", "wiki")
        [failed] = (await world.turn())["failed"]
        assert failed["reason"].startswith("the source 'wiki' failed too often")
        health = await world.health()
        assert (health["rag"]["state"], health["breakers"]["state"]) == ("degraded", "degraded")
        assert "source 'wiki' is left alone: 3 of" in health["rag"]["reason"]
        assert "source 'wiki' is open since" in health["breakers"]["reason"]
        shown = health["rag"]["details"]["sources"]["wiki"]
        assert shown["breaker"] == "open"
        assert opened.at - 1 < datetime.fromisoformat(shown["breaker_since"]).timestamp() <= time.time()
        wiki.behave()
        await eventually(world.answered, RECOVERY_S)
        await seen.wait_for(BreakerClosed)
        await eventually(world.well, RECOVERY_S)
        done = seen.of(RetrievalDone)
    assert {"wiki"} == {name for event in done for name in event.failed}


async def test_a_source_that_answers_503_is_named_and_the_others_are_there(
    world: World, wiki: RagServer
) -> None:
    wiki.behave(fault="status", status=503)
    found = await world.turn()
    assert sources(found) == {"harbour"}
    assert found["failed"] == [{"source": "wiki", "reason": "the service answered HTTP 503"}]
    with record(world.bus, BreakerOpened) as seen:
        await world.turn("bob")
        await seen.wait_for(BreakerOpened)
    wiki.behave()
    await eventually(world.answered, RECOVERY_S)


async def test_a_source_that_fails_60_percent_ends_no_turn(world: World, wiki: RagServer) -> None:
    wiki.behave(fault="status", status=503, percent=60)
    for found in await asyncio.gather(*(world.turn(user) for user in USERS * 2)):
        assert "harbour" in sources(found)
        assert ("wiki" in sources(found)) != bool(found["failed"])
        assert found["seconds"] < TIMEOUT_S + SLACK_S
    wiki.behave()
    await eventually(world.answered, RECOVERY_S)
