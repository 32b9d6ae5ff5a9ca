"""A module's step stands behind any other and runs there, or the start stops with a sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from core.context import RunContext
from core.errors import ConfigInvalid
from core.registry import Module, NodeSpec, discover
from graph import Agent
from graph.flow.builder import FIVE, Steps, build_graph, last_step
from graph.flow.places import check_places, steps_of
from tests.kit.agents import open_agent

SUM = {"messages": [("user", "What is 5 + 3?")]}


class Reads(TypedDict, total=False):
    config: dict[str, Any]


class Noting:
    """A step that writes down what it was called for."""

    def __init__(self, name: str, log: list[str]) -> None:
        self._name, self._log = name, log

    async def __call__(self, state: Reads, runtime: Runtime[RunContext]) -> dict[str, Any]:
        assert state["config"]["model"]
        self._log.append(self._name)
        return {}


def module(name: str, step: str, after: str) -> Module:
    (llm,) = [found for found in discover() if found.name == "llm"]
    spec = NodeSpec(step, f"{__name__}:Noting", after=after)
    return replace(llm, name=name, command=name, node=spec, sections=(), files=(), required=False)


@pytest.mark.parametrize(
    ("after", "times"),
    [("lookup_config", 1), ("retrieve", 1), ("call_model", 2), ("execute_tools", 1), ("store_files", 1)],
)
async def test_st7_a_step_behind_any_of_the_five_runs_there(after: str, times: int, tmp_path: Path) -> None:
    log: list[str] = []
    async with open_agent(tmp_path) as agent:
        steps = await agent.container.get(Steps)
        further = {after: (("first", Noting("first", log)),), "first": (("second", Noting("second", log)),)}
        graph = build_graph(replace(steps, extra=further)).compile(checkpointer=InMemorySaver())
        config: Any = {"configurable": {"thread_id": "t"}}
        ended = await graph.ainvoke(SUM, config, context=RunContext())
        assert ended["messages"][-1].content == "5 + 3 = 8"
        assert log == ["first", "second"] * times
        assert last_step(graph) == ("second" if after == "store_files" else "store_files")
        await graph.aupdate_state(config, {"messages": [AIMessage("more")]}, as_node=last_step(graph))
        assert (await graph.aget_state(config)).next == ()


async def test_st7_steps_of_modules_are_placed_by_what_they_declare(tmp_path: Path) -> None:
    log: list[str] = []
    declared = [module("one", "first", "call_model"), module("two", "second", "first")]
    check_places([*discover(), *declared])
    async with open_agent(tmp_path) as agent:
        made = await agent.container.get(Steps)
        found = steps_of(
            [*discover(), *declared],
            declared,
            lambda spec: made.nodes.get(spec.name) or Noting(spec.name, log),
            made.after_model,
        )
        assert [name for name, _ in found.behind("call_model")] == ["first", "second"]
        # A neighbour that does not run leaves its place to whoever follows it.
        alone = steps_of([declared[1]], declared, lambda spec: Noting(spec.name, log), made.after_model)
        assert [name for name, _ in alone.behind("call_model")] == ["second"]


@pytest.mark.parametrize(
    ("step", "after", "sentence"),
    [
        ("greet", "", "module 'mine', step 'greet': `after` has to say which step it follows; possible: "),
        ("greet", "nowhere", "module 'mine', step 'greet': there is no step 'nowhere' to follow; possible: "),
        ("greet", "__end__", "module 'mine', step 'greet': there is no step '__end__' to follow; possible: "),
        ("greet", "greet", "module 'mine', step 'greet': steps follow each other in a circle"),
        ("my-step", "retrieve", "module 'mine', step 'my-step': a step's name is one word"),
        ("messages", "retrieve", "module 'mine', step 'messages': a step's name is one word"),
        ("__start__", "retrieve", "module 'mine', step '__start__': a step's name is one word"),
        ("retrieve", "call_model", "module 'mine', step 'retrieve': it has its place in every turn"),
    ],
)
async def test_st7_a_step_that_can_stand_nowhere_stops_the_start(
    step: str, after: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [found for found in discover() if found.node is None or found.node.name != step]
    monkeypatch.setattr("graph.wiring.services.discover", lambda: [*there, module("mine", step, after)])
    with pytest.raises(ConfigInvalid) as refused:
        async with open_agent(tmp_path):
            raise AssertionError
    assert refused.value.detail.startswith(sentence)
    if "possible" in sentence:
        assert all(name in refused.value.detail for name in FIVE)


async def test_a_plain_function_may_be_a_step(tmp_path: Path) -> None:
    def shout(state: Any, runtime: Any) -> dict[str, Any]:
        last = state["messages"][-1]
        return {"messages": [last.model_copy(update={"content": last.content.upper()})]}

    async with open_agent(tmp_path) as agent:
        steps = await _steps(agent)
        graph = build_graph(replace(steps, extra={"store_files": (("shout", shout),)})).compile()
        ended = await graph.ainvoke({"messages": [("user", "Who are you?")]}, context=RunContext())
        assert ended["messages"][-1].content.startswith("I AM THE OFFLINE MODEL")


async def _steps(agent: Agent) -> Steps:
    return await agent.container.get(Steps)
