"""The primary is lost in the middle of turns, and its synchronous standby takes its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from core.database.outage import DatabaseUnavailable
from core.health import HealthState
from core.signals import Signals
from graph import Agent
from graph.runs.record import TurnRequest
from graph.runs.streams import Handle
from graph.runs.tails import Mirror
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


async def speaking(
    api: Agent, model: ModelServer, thread: str
) -> tuple[Handle, AsyncIterator[dict[str, Any]]]:
    """A turn whose model has said a word and holds the rest back."""
    model.script(say("one two three", hang_after=1), match=thread)
    handle = await api.begin(TurnRequest(LOCAL, thread, thread_id=thread))
    told = handle.events()
    async for event in told:
        if event["type"] == "token":
            return handle, told
    raise AssertionError("it never spoke")


async def ended(events: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
    return [event async for event in events][-1]


async def test_turns_go_on_at_the_standby_and_nothing_acknowledged_is_lost(
    two: tuple[Agent, Agent], pair: Pair, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, worker = two
    # Readers look into the database all the time, so also while it is away.
    monkeypatch.setattr(Mirror, "patience", lambda _: 0.02)
    async with asyncio.timeout(WAIT_S):
        before = await api.begin(TurnRequest(LOCAL, "before", thread_id="before"))
        assert (await ended(before.events()))["status"] == "done"
        _, midway = await speaking(api, model, "midway")
        left, _ = await speaking(api, model, "left")
        await asyncio.to_thread(pair.lose)
        # Its reader goes while nobody can be told.
        left.leave()
        with pytest.raises(DatabaseUnavailable):
            await api.runs.get(LOCAL, left.id)
        await asyncio.to_thread(pair.fail_over)
        assert (await left.result())["status"] == "cancelled"
        model.release()
        last = await ended(midway)
        assert (last["status"], last["answer"]) == ("done", "one two three")
        after = await api.begin(TurnRequest(LOCAL, "after", thread_id="before"))
        assert (await ended(after.events()))["status"] == "done"
        for agent in (api, worker):
            signals = await agent.container.get(Signals)
            while (await signals.check()).state is not HealthState.HEALTHY:  # noqa: ASYNC110 - health has no event
                await asyncio.sleep(0.05)
        page = await api.threads.transcript(LOCAL, "before")
        said = [message["text"] for message in page["messages"] if message["role"] == "user"]
        assert said == ["before", "after"]
