"""Model endpoints that hang, fail and break off, under whole turns: what it costs, and whom."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from core.events import EventBus
from core.events.recorder import Recorded, record
from core.resilience import BreakerClosed, BreakerOpened
from graph.agent import Agent
from nodes.llm import LLMCaller
from tests.kit.events import check_stream
from tests.kit.http import client_of, served
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer

SILENCE_S = 1.0
# What a turn may take beside its wait for the model, on a machine with other work.
SLACK_S = 8.0
RECOVERED_WITHIN_S = 30.0
QUICK = {"model": {"in_a_row": 3, "min_calls": 6, "open_s": 0.5, "backoff_s": 0.02}}


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[ModelServer, ModelServer]]:
    with ModelServer(default="All is well.") as sick, ModelServer(default="I am well.") as well:
        yield sick, well


@pytest.fixture
def sick(servers: tuple[ModelServer, ModelServer]) -> Iterator[ModelServer]:
    servers[0].reset()
    yield servers[0]
    servers[0].reset()


@pytest.fixture(scope="module")
async def agent(
    servers: tuple[ModelServer, ModelServer], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Agent]:
    """One model for each fault, so that no test finds the breaker of another."""
    sick, well = (server.url for server in servers)
    ill = {"model_name": "m", "model_url": sick, "first_token_timeout_s": SILENCE_S}
    entries = {
        "well": {"model_name": "m", "model_url": well},
        "hangs": ill,
        "fails": ill,
        "covered": {**ill, "fallbacks": ["well"]},
        "cuts": ill,
        "gone": {**ill, "retries": 0},
    }
    files = {"models.yaml": json.dumps({"models": entries})}
    async with open_agent(tmp_path_factory.mktemp("faults"), files=files, resilience=QUICK) as agent:
        await agent.ask("hello")  # what loads slowly has been loaded
        yield agent


@pytest.fixture(scope="module")
async def http(agent: Agent) -> AsyncIterator[httpx.AsyncClient]:
    async with served(agent) as base, client_of(base) as client:
        yield client


@pytest.fixture
async def seen(agent: Agent) -> AsyncIterator[Recorded]:
    with record(await agent.container.get(EventBus), BreakerOpened, BreakerClosed) as seen:
        yield seen


async def turn(agent: Agent, model: str, user: str = "ada") -> list[dict[str, Any]]:
    """The events of one turn, which has to end within its deadline."""
    began = time.perf_counter()
    events = [event async for event in agent.stream("hello", model=model, user=user)]
    assert time.perf_counter() - began < SILENCE_S + SLACK_S
    check_stream(events)
    return events


async def turns(agent: Agent, model: str, count: int) -> list[dict[str, Any]]:
    """The last events of turns of several users at once."""
    found = await asyncio.gather(*(turn(agent, model, f"user{n}") for n in range(count)))
    return [events[-1] for events in found]


async def seconds_of_others(agent: Agent) -> float:
    """How long turns of others on a model that is well take now."""
    began = time.perf_counter()
    assert {end["answer"] for end in await turns(agent, "well", 5)} == {"I am well."}
    return time.perf_counter() - began


async def recovers(agent: Agent, model: str) -> None:
    """Turns on the model end well again, soon enough."""
    async with asyncio.timeout(RECOVERED_WITHIN_S):
        while (await turn(agent, model))[-1]["type"] != "done":  # noqa: ASYNC110 - people try again, too
            await asyncio.sleep(0.05)


async def health_until(http: httpx.AsyncClient, state: str) -> dict[str, Any]:
    """The answer of GET /health once it says this of the models; it is as old as five seconds."""
    async with asyncio.timeout(RECOVERED_WITHIN_S):
        while True:
            body: dict[str, Any] = (await http.get("/health")).json()
            if body["modules"]["llm"]["state"] == state:
                return body
            await asyncio.sleep(0.1)


def codes(ends: list[dict[str, Any]]) -> set[str]:
    return {end.get("code", "") for end in ends}


async def test_a_model_that_hangs_costs_its_callers_one_silence_and_others_nothing(
    agent: Agent, http: httpx.AsyncClient, sick: ModelServer, seen: Recorded
) -> None:
    usual = await seconds_of_others(agent)
    broke_at = datetime.now(UTC)
    sick.misbehave(hang=1)
    waiting = asyncio.create_task(turns(agent, "hangs", 4))
    await asyncio.to_thread(sick.wait_for_requests, 4)
    assert await seconds_of_others(agent) < 3 * usual + 2
    ends = await waiting
    assert codes(ends) == {"model_timed_out"}
    assert all(end["retryable"] for end in ends)
    (opened,) = await seen.wait_for(BreakerOpened)
    assert (opened.kind, opened.name) == ("model", "hangs")
    # One of them is let through now and then, to see whether it is well again.
    assert "circuit_open" in codes(await turns(agent, "hangs", 4))

    body = await health_until(http, "degraded")
    assert body["status"] == "degraded"
    assert "the model 'hangs' is left alone since " in body["modules"]["llm"]["reason"]
    told = body["modules"]["llm"]["details"]["models"]
    assert told["hangs"]["breaker"] in {"open", "half_open"}
    assert broke_at < datetime.fromisoformat(told["hangs"]["since"]) < datetime.now(UTC)
    assert told["well"]["breaker"] == "closed"
    assert (await http.get("/health/ready")).status_code == 200

    sick.behave()
    await recovers(agent, "hangs")
    await seen.wait_for(BreakerClosed)
    assert (await health_until(http, "healthy"))["modules"]["llm"]["reason"] == ""


async def test_a_model_that_fails_60_percent_is_left_alone_until_it_is_well(
    agent: Agent, sick: ModelServer, seen: Recorded
) -> None:
    usual = await seconds_of_others(agent)
    sick.misbehave(fail=0.6, seed=3)
    llm = await agent.container.get(LLMCaller)
    ends: list[dict[str, Any]] = []
    # One probe in three is answered, so that it is not always open.
    while (health := await llm.check()).state == "healthy":
        ends += await turns(agent, "fails", 4)
        assert len(ends) <= 60
    assert "the model 'fails' is left alone since " in health.reason
    assert {opened.name for opened in await seen.wait_for(BreakerOpened)} == {"fails"}
    assert await seconds_of_others(agent) < 3 * usual + 2
    ends += await turns(agent, "fails", 4)
    assert codes(ends) <= {"", "model_unavailable", "circuit_open"}
    assert {end["answer"] for end in ends if end["type"] == "done"} <= {"All is well."}
    sick.behave()
    await recovers(agent, "fails")
    await seen.wait_for(BreakerClosed)
    assert (await llm.check()).state == "healthy"


async def test_turns_on_a_bad_model_with_a_fallback_are_all_answered(
    agent: Agent, sick: ModelServer, seen: Recorded
) -> None:
    sick.misbehave(fail=0.6, seed=5)
    answered: list[str] = []
    while not seen.of(BreakerOpened) or "well" not in answered:
        for end in await turns(agent, "covered", 4):
            assert end["type"] == "done"
            answered.append(end["usage"]["model"])
        assert len(answered) <= 40
    assert set(answered) <= {"covered", "well"}
    sick.misbehave(hang=1)
    events = await turn(agent, "covered")
    assert (events[-1]["type"], events[-1]["usage"]["model"]) == ("done", "well")
    assert "fallback_model" in [event["code"] for event in events if event["type"] == "notice"]


async def test_a_model_that_breaks_off_keeps_what_it_said_and_is_left_alone(
    agent: Agent, sick: ModelServer, seen: Recorded
) -> None:
    sick.misbehave(cut=1)
    ends: list[dict[str, Any]] = []
    while not seen.of(BreakerOpened):
        events = await turn(agent, "cuts")
        assert [event["delta"] for event in events if event["type"] == "token"] in ([], ["All "])
        ends.append(events[-1])
        assert len(ends) <= 12
    assert codes(ends) <= {"model_stream_cut", "circuit_open"}
    sick.behave()
    await recovers(agent, "cuts")
    await seen.wait_for(BreakerClosed)


async def test_an_endpoint_that_was_down_is_used_again_without_anyone_trying(
    agent: Agent, http: httpx.AsyncClient, sick: ModelServer, seen: Recorded
) -> None:
    sick.misbehave(fail=1)
    sick.configure(models_status=503)
    assert codes(await turns(agent, "gone", 3)) == {"model_unavailable"}
    await seen.wait_for(BreakerOpened)
    down = await health_until(http, "degraded")
    assert "the endpoint of the model 'gone' failed (503), since " in down["modules"]["llm"]["reason"]
    sick.reset()
    await health_until(http, "healthy")
    assert "gone" in {closed.name for closed in await seen.wait_for(BreakerClosed)}
