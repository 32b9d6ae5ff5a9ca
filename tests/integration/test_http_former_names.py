"""`server.event_fields: old`: whoever still reads the names of the release before gets them everywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from graph.agent import Agent
from graph.runs.events import former_reply, renewed_reply
from server.app import create_app
from tests.kit.http import data_of, turn
from waystation.testing.agents import open_agent


@pytest.fixture(scope="module")
async def old(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    folder = tmp_path_factory.mktemp("former")
    async with open_agent(folder, tools=(), server={"event_fields": "old"}) as agent:
        async for client in _in_process(agent):
            yield client


async def _in_process(agent: Agent) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(agent)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as found:
            yield found


def said(events: list[dict[str, Any]]) -> str:
    return "".join(event["text"] for event in events if event["type"] == "token")


async def test_every_route_that_sends_events_has_the_former_names(old: httpx.AsyncClient) -> None:
    told = data_of((await old.post("/agent/stream", json=turn())).text)
    run = told[0]["run_id"]
    again = data_of((await old.get(f"/runs/{run}/events")).text)
    patches = data_of((await old.post("/agent/stream_log", json=turn())).text)
    pieces = [op["value"] for p in patches for op in p["ops"] if op["path"] == "/streamed_output/-"]
    answer = told[-1]["answer"]
    assert said(told) == said(again) == said(pieces) == answer != ""
    assert (await old.get(f"/runs/{run}")).json()["output"]["answer"] == answer
    assert (await old.post("/agent/invoke", json=turn())).json()["output"]["answer"] == answer


def test_a_reply_goes_to_the_former_names_and_back() -> None:
    reply = {"answer": "", "interrupts": [{"id": "i", "detail": "May it?"}]}
    assert former_reply(reply)["interrupts"] == [{"id": "i", "text": "May it?"}]
    assert renewed_reply(former_reply(reply)) == reply
    both = {"interrupts": [{"id": "i", "text": "old", "detail": "new"}]}
    assert renewed_reply(both)["interrupts"] == [{"id": "i", "detail": "new"}]
