"""A service that stops waits for no turn for ever, whatever it swallows or hangs on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from core.access import Principal
from graph import TurnRequest
from graph.errors import TurnTimedOut
from graph.turn.attempt import Endings
from nodes.llm.fake import ScriptedModel
from waystation import Step
from waystation.testing.agents import open_agent
from waystation.testing.container import Fakes

LOCAL = Principal("local")


class Stubborn:
    """A step that swallows every cancellation, and waits until it is let go."""

    def __init__(self) -> None:
        self.begun, self.released = asyncio.Event(), asyncio.Event()

    async def __call__(self, state: Any) -> None:
        self.begun.set()
        while not self.released.is_set():
            with suppress(asyncio.CancelledError):
                await self.released.wait()


class Deaf(ScriptedModel):
    """A model whose client swallows so many cancellations, and then answers with a call."""

    def __init__(self, times: int) -> None:
        super().__init__(("sums_multiply", '{"a": 2, "b": 3}'))
        self.begun, self._times = asyncio.Event(), times

    async def stream(self, *given: Any, **named: Any) -> AsyncIterator[Any]:
        self.begun.set()
        for _ in range(self._times):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        async for piece in super().stream(*given, **named):
            yield piece


@pytest.fixture
async def step() -> AsyncIterator[Stubborn]:
    step = Stubborn()
    yield step
    step.released.set()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the seconds that a database and a library are given."""
    monkeypatch.setattr("graph.runs.record.CUT_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr("graph.service.run_service.STOP_SECONDS", 1.0)


async def test_a_turn_whose_step_swallows_its_cancellation_gets_another_and_ends(
    tmp_path: Path, step: Stubborn
) -> None:
    fakes = Fakes(model=ScriptedModel("One."))
    async with (
        asyncio.timeout(20),
        open_agent(tmp_path, providers=[fakes], steps=[Step("stay", step, before="call_model")]) as agent,
    ):
        handle = await agent.begin(TurnRequest(LOCAL, "one", thread_id="t"))
        await step.begun.wait()
        with capture_logs() as logged:
            await agent.drain(seconds=0)
        assert (await handle.result())["status"] == "interrupted"
        assert "run_does_not_stop" not in [entry["event"] for entry in logged]
        step.released.set()


@pytest.mark.parametrize("times", [1, 3])
async def test_a_turn_whose_model_swallows_the_end_of_its_time_has_no_further_step(
    tmp_path: Path, times: int
) -> None:
    fakes, limits = Fakes(model=Deaf(times)), {"turn_seconds": 1}
    async with asyncio.timeout(20), open_agent(tmp_path, providers=[fakes], limits=limits) as agent:
        handle = await agent.begin(TurnRequest(LOCAL, "one", thread_id="t"))
        with pytest.raises(TurnTimedOut):
            await handle.result()
        assert "tool_call" not in [event["type"] async for event in handle.events()]


async def test_a_turn_whose_model_swallows_its_cancellation_calls_no_tool_any_more(tmp_path: Path) -> None:
    model = Deaf(1)
    async with asyncio.timeout(20), open_agent(tmp_path, providers=[Fakes(model=model)]) as agent:
        handle = await agent.begin(TurnRequest(LOCAL, "one", thread_id="t"))
        await model.begun.wait()
        await handle.cancel()
        assert (await handle.result())["status"] == "cancelled"
        assert "tool_call" not in [event["type"] async for event in handle.events()]


async def test_a_turn_that_never_ends_is_left_to_whoever_takes_its_thread_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = asyncio.Event()

    async def never(*_: object) -> bool:
        await released.wait()
        return False

    monkeypatch.setattr(Endings, "_stored", never)
    fakes = Fakes(model=ScriptedModel("One."))
    async with asyncio.timeout(20), open_agent(tmp_path, providers=[fakes]) as agent:
        handle = await agent.begin(TurnRequest(LOCAL, "one", thread_id="t"))
        run = agent.runs.live[handle.record.id]
        with capture_logs() as logged:
            await agent.drain(seconds=0)
        (left,) = [entry for entry in logged if entry["event"] == "run_does_not_stop"]
        assert (left["run_id"], left["ending"]) == (handle.record.id, True)
        assert any("never > Event.wait" in name for name in left["waits_in"])
        assert not agent.runs.live
        released.set()
        assert run.task
        await asyncio.wait([run.task])
