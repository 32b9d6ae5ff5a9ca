"""An answer is told under one id, whatever the model's client calls back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langgraph.checkpoint.memory import InMemorySaver

from core.access import RunContext
from graph.flow.builder import build_graph
from graph.flow.steps import Steps
from graph.studio.words import OncePerAnswer
from nodes.llm.errors import ModelUnavailable
from tests.kit.steps import after_model
from waystation.testing.agents import open_agent

pytestmark = pytest.mark.slow

QUESTION: Any = {"messages": [("user", "What is 5 + 3?")]}
THREAD: Any = {"configurable": {"thread_id": "t"}}


@pytest.fixture
async def graph(tmp_path: Path) -> AsyncIterator[Any]:
    async with open_agent(tmp_path) as agent:
        steps = await agent.container.get(Steps)
        spoken = {**steps.nodes, "call_model": OncePerAnswer(steps.nodes["call_model"])}
        yield build_graph(steps.running(spoken), after_model()).compile(checkpointer=InMemorySaver())


async def test_words_and_calls_come_once_and_under_the_id_that_is_stored(graph: Any) -> None:
    told: dict[str, list[AIMessageChunk]] = {}
    stream = graph.astream(QUESTION, THREAD, context=RunContext(), stream_mode="messages")
    async for message, _ in stream:
        if isinstance(message, AIMessageChunk):
            told.setdefault(str(message.id), []).append(message)
    stored = (await graph.aget_state(THREAD)).values["messages"]
    answers = [message for message in stored if message.type == "ai"]
    assert list(told) == [message.id for message in answers]
    assert ["".join(str(c.content) for c in chunks) for chunks in told.values()] == ["", "5 + 3 = 8"]
    (call,) = told[answers[0].id][-1].tool_call_chunks
    assert call["id"] == answers[0].tool_calls[0]["id"]
    assert len(told[answers[1].id]) > 2


async def test_without_listeners_nothing_is_told(graph: Any) -> None:
    ended = await graph.ainvoke(QUESTION, THREAD, context=RunContext())
    assert ended["messages"][-1].content == "5 + 3 = 8"


@pytest.mark.parametrize("writes", [None, {}, {"messages": []}])
async def test_a_step_that_says_nothing_or_fails_goes_through(tmp_path: Path, writes: Any) -> None:
    def silent(state: Any, runtime: Any) -> Any:
        if state["messages"][-1].content == "fail":
            raise ModelUnavailable("away")
        return writes

    async with open_agent(tmp_path) as agent:
        steps = await agent.container.get(Steps)
        nodes = {**steps.nodes, "call_model": OncePerAnswer(silent_node(silent))}
        graph: Any = build_graph(steps.running(nodes), after_model()).compile()
        ended = await graph.ainvoke(QUESTION, context=RunContext())
        assert len(ended["messages"]) == 1
        with pytest.raises(ModelUnavailable):
            await graph.ainvoke({"messages": [("user", "fail")]}, context=RunContext())


def silent_node(function: Any) -> Any:
    async def node(state: Any, runtime: Any) -> Any:
        return function(state, runtime)

    return node
