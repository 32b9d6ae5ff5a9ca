"""A thread goes on at hosts whose clocks differ."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import id as ids

from core.access import Principal
from graph import Agent
from graph.checkpoints.carrying import go_behind
from graph.runs.record import TurnRequest
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, say

SKEW_S = 30
LOCAL = Principal("local")
_real = time.time_ns


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@asynccontextmanager
async def host(folder: Path, model: ModelServer, *, skew_s: int = 0) -> AsyncIterator[Agent]:
    """A process of its own, as far as its clock and the ids that it makes go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids, "_last_v6_timestamp", None)
        patch.setattr(time, "time_ns", lambda: _real() + skew_s * 1_000_000_000)
        async with open_agent(folder, model_url=model.url, mcp={"bundled": False}) as agent:
            yield agent


async def test_nothing_is_lost_where_a_clock_behind_goes_on(tmp_path: Path, model: ModelServer) -> None:
    model.script(*(say(f"answer {number}") for number in range(3)))
    for number, skew_s in enumerate((SKEW_S, 0, -SKEW_S)):
        async with host(tmp_path, model, skew_s=skew_s) as agent:
            await agent.ask(f"question {number}", thread="t")
    async with host(tmp_path, model) as agent:
        state = await agent.threads.state(LOCAL, "t")
    wanted = [f"{what} {number}" for number in range(3) for what in ("question", "answer")]
    assert texts(state) == wanted


async def test_what_begins_at_an_older_checkpoint_where_the_clock_is_behind_comes_behind_all_that_is_there(
    tmp_path: Path, model: ModelServer
) -> None:
    model.script(*(say(f"answer {number}") for number in range(4)))
    async with host(tmp_path, model, skew_s=SKEW_S) as agent:
        await agent.ask("question 0", thread="t")
        first = await agent.threads.state(LOCAL, "t")
        await agent.ask("question 1", thread="t")
    older = str(first["checkpoint_id"])
    async with host(tmp_path, model) as agent:
        changed = await agent.change(LOCAL, "t", {"messages": [("user", "noted")]}, checkpoint_id=older)
        state = await agent.threads.state(LOCAL, "t")
        assert state["checkpoint_id"] == changed["configurable"]["checkpoint_id"]
        assert texts(state) == ["question 0", "answer 0", "noted"]
        made = str((await agent.threads.fork(LOCAL, "t", checkpoint_id=older))["id"])
        await agent.ask("question 2", thread=made)
        assert texts(await agent.threads.state(LOCAL, made))[2:] == ["question 2", "answer 2"]
    async with host(tmp_path, model, skew_s=-SKEW_S) as agent:
        request = TurnRequest(LOCAL, "question 3", thread_id="t", checkpoint=older)
        assert (await (await agent.begin(request)).result())["answer"] == "answer 3"
        assert texts(await agent.threads.state(LOCAL, "t"))[2:] == ["question 3", "answer 3"]


def texts(state: dict[str, Any]) -> list[str]:
    return [message["text"] for message in state["messages"]]


@pytest.mark.parametrize("other", ["1", "9f3c2f6e-0a53-4c53-9a1c-7d8b7d3c2a11"])
def test_an_id_that_says_no_time_is_followed_by_any(other: str) -> None:
    before = ids._last_v6_timestamp
    go_behind(other)
    assert ids._last_v6_timestamp == before
