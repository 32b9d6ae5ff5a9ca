"""What steps tell goes straight to whoever hears the turn."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

import pytest
from langgraph.config import get_stream_writer
from langgraph.errors import GraphInterrupt
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from core.access import RunContext
from core.errors import InvalidInput
from graph.flow.routing import MOST_STEPS, ObservedStep, StepTimes, observed_by


class Channels(TypedDict, total=False):
    said: str


class Tells:
    """A step that tells something, and says in which order that is heard."""

    def __init__(self, heard: list[Any]) -> None:
        self._heard = heard

    async def __call__(self, state: Channels, runtime: Runtime[RunContext]) -> Channels:
        runtime.stream_writer("one")
        runtime.stream_writer("two")
        return {"said": " ".join(self._heard)}


def graph_of(node: Any) -> Any:
    graph: Any = StateGraph(Channels)
    graph.add_node("tells", ObservedStep("tells", node), input_schema=Channels)
    graph.add_edge(START, "tells")
    return graph.compile()


async def streamed(graph: Any) -> list[Any]:
    return [item async for item in graph.astream({}, stream_mode=["custom", "updates"])]


async def test_an_event_is_heard_while_the_step_goes_on_and_takes_no_way_through_the_stream() -> None:
    heard: list[Any] = []
    with observed_by(heard.append):
        items = await streamed(graph_of(Tells(heard)))
    assert heard == ["one", "two"]
    assert items == [("updates", {"tells": {"said": "one two"}})]


async def test_what_a_step_writes_is_told_when_it_returns_and_nothing_of_one_that_fails() -> None:
    async def fails(state: Channels, runtime: Runtime[RunContext]) -> Channels:
        raise InvalidInput("no")

    wrote: list[Any] = []
    with observed_by(lambda _: None, wrote=lambda *told: wrote.append(told)):
        await graph_of(Tells([])).ainvoke({})
        with suppress(InvalidInput):
            await graph_of(fails).ainvoke({})
    assert wrote == [("tells", {"said": ""})]


async def test_where_nobody_hears_events_are_in_langgraphs_stream() -> None:
    items = await streamed(graph_of(Tells([])))
    assert items[:2] == [("custom", "one"), ("custom", "two")]


async def test_what_a_thread_of_the_step_tells_is_heard_in_the_loop() -> None:
    heard: list[tuple[Any, int]] = []

    async def node(state: Channels, runtime: Runtime[RunContext]) -> Channels:
        await asyncio.to_thread(runtime.stream_writer, "from afar")
        await asyncio.sleep(0)
        return {}

    with observed_by(lambda told: heard.append((told, threading.get_ident()))):
        await streamed(graph_of(node))
    assert heard == [("from afar", threading.get_ident())]


async def test_the_writer_of_langgraphs_own_is_in_the_stream_as_ever() -> None:
    async def node(state: Channels, runtime: Runtime[RunContext]) -> Channels:
        get_stream_writer()("aside")
        return {}

    with observed_by(lambda _: None):
        items = await streamed(graph_of(node))
    assert ("custom", "aside") in items


@pytest.mark.parametrize(
    ("raised", "end"),
    [
        (None, "ok"),
        (GraphInterrupt(()), "interrupted"),
        (asyncio.CancelledError(), "cancelled"),
        (InvalidInput("x"), "invalid_input"),
        (ValueError("x"), "ValueError"),
    ],
)
async def test_it_is_known_when_a_step_worked_and_how_it_ended(
    raised: BaseException | None, end: str
) -> None:
    async def node(state: Any, runtime: Any) -> None:
        assert [(step.name, step.end) for step in steps] == [("works", "")]
        if raised is not None:
            raise raised

    steps = StepTimes()
    with observed_by(lambda _: None, steps), suppress(BaseException if raised else KeyError):
        await ObservedStep("works", node)({}, Runtime())
    [step] = steps
    assert (step.name, step.end) == ("works", end)
    assert step.began <= step.ended


async def test_whoever_hears_a_turn_is_told_which_step_begins() -> None:
    async def node(state: Any, runtime: Any) -> None:
        assert begun == ["works"]

    begun: list[str] = []
    with observed_by(lambda _: None, begins=begun.append):
        await ObservedStep("works", node)({}, Runtime())
    assert begun == ["works"]


def test_of_a_turn_that_goes_round_for_long_so_many_steps_are_kept() -> None:
    steps = StepTimes()
    for _ in range(MOST_STEPS + 5):
        with steps.of("again"):
            pass
    assert len(steps) == MOST_STEPS
