"""What a process without a supervisor does with runs that another left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.access import Principal
from core.errors import InvalidInput
from graph import Agent, TurnRequest
from waystation.testing.agents import context_at
from waystation.testing.model_server import ModelServer, hang, say

LOCAL = Principal("local")


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


async def test_a_run_that_nobody_goes_on_with_is_finished_before_the_next_message(
    model: ModelServer, tmp_path: Path
) -> None:
    context = context_at(tmp_path, environ={"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "test"})
    model.script(hang())
    async with Agent.open(context) as agent:
        left = await agent.begin(TurnRequest(LOCAL, "first", thread_id="t", background=True))
        async for event in left.events():
            if event["type"] == "config":
                break
    model.reset()
    model.script(say("one"), match="first")
    model.script(say("two"), match="second")
    async with Agent.open(context) as agent:
        assert (await agent.runs.get(LOCAL, left.id)).status == "queued"
        assert (await agent.ask("second", thread="t"))["answer"] == "two"
        finished = await agent.runs.get(LOCAL, left.id)
    assert finished.output is not None
    assert (finished.status, finished.output["answer"]) == ("done", "one")


async def test_an_answer_with_an_idempotency_key_is_refused(tmp_path: Path) -> None:
    async with Agent.open(context_at(tmp_path)) as agent:
        with pytest.raises(InvalidInput, match="Idempotency-Key goes with a message"):
            await agent.begin(
                TurnRequest(LOCAL, resume={"approve": True}, thread_id="t", idempotency_key="k")
            )
