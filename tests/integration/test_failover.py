"""The primary is lost in the middle of turns, and its synchronous standby takes its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from core.access import Principal
from core.health import HealthState
from core.signals import Signals
from graph import Agent
from graph.runs.record import TurnRequest
from tests.kit.standby import Pair
from waystation.testing.agents import context_at
from waystation.testing.model_server import ModelServer, say

LOCAL = Principal("local")
WAIT_S = 90.0


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


@pytest.fixture
async def two(tmp_path: Path, pair: Pair, model: ModelServer) -> AsyncIterator[tuple[Agent, Agent]]:
    """Who answers and who executes; both know both servers."""
    url = pair.url(pair.primary.create_database())
    async with AsyncExitStack() as stack:
        api, worker = [
            await stack.enter_async_context(
                Agent.open(
                    context_at(
                        tmp_path / role,
                        environ={"OPENAI_API_KEY": "test", "OPENAI_BASE_URL": model.url},
                        storage={"url": url},
                        server={"role": role},
                        mcp={"bundled": False},
                        modules={"disabled": ["rag"]},
                    ),
                    worker=True,
                )
            )
            for role in ("api", "worker")
        ]
        yield api, worker


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


async def test_turns_go_on_at_the_standby_and_nothing_acknowledged_is_lost(
    two: tuple[Agent, Agent], pair: Pair, model: ModelServer
) -> None:
    api, worker = two
    async with asyncio.timeout(WAIT_S):
        before = await api.begin(TurnRequest(LOCAL, "before", thread_id="before"))
        assert [event async for event in before.events()][-1]["status"] == "done"
        model.script(say("one two three", hang_after=1))
        midway = await api.begin(TurnRequest(LOCAL, "midway", thread_id="midway"))
        told = midway.events()
        spoken = [await anext(told)]
        while spoken[-1]["type"] != "token":
            spoken.append(await anext(told))
        await asyncio.to_thread(pair.lose)
        await asyncio.to_thread(pair.fail_over)
        model.release()
        rest = [event async for event in told]
        assert rest[-1]["status"] == "done", rest[-1]
        assert rest[-1]["answer"] == "one two three"
        after = await api.begin(TurnRequest(LOCAL, "after", thread_id="before"))
        assert [event async for event in after.events()][-1]["status"] == "done"
        for agent in (api, worker):
            signals = await agent.container.get(Signals)
            while (await signals.check()).state is not HealthState.HEALTHY:  # noqa: ASYNC110 - health has no event
                await asyncio.sleep(0.05)
        page = await api.threads.transcript(LOCAL, "before")
        said = [message["text"] for message in page["messages"] if message["role"] == "user"]
        assert said == ["before", "after"]
