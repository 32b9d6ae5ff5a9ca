from __future__ import annotations

from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from core.access import RunContext
from core.settings.book import Editions
from core.settings.platform import LimitSettings
from nodes.config import ConfigLookup, LookupConfig, UnknownModel
from nodes.config.fake import Entry, FakeModels, FakeServers, FakeSources


class State(TypedDict, total=False):
    config: dict[str, Any]


@pytest.fixture
def graph() -> Any:
    lookup = ConfigLookup(
        FakeModels({"small": Entry(), "large": Entry(groups=["staff"])}),
        FakeSources({"handbook": Entry()}),
        FakeServers({"clock": Entry()}, tools={"clock": ["clock_now"]}),
        editions=Editions.fixed(LimitSettings(steps=25)),
    )
    builder = StateGraph(State, context_schema=RunContext)
    builder.add_node("lookup_config", LookupConfig(lookup))
    builder.add_edge(START, "lookup_config")
    builder.add_edge("lookup_config", END)
    return builder.compile()


async def test_the_step_writes_the_config_and_tells_what_the_turn_may_use(graph: Any) -> None:
    context = RunContext(user="ada", sources=["handbook"], max_steps=3)
    parts = [p async for p in graph.astream({}, context=context, stream_mode=["custom", "values"])]
    events = [part for mode, part in parts if mode == "custom"]
    assert events == [{"type": "config", "model": "small", "tools": ["clock_now"], "sources": ["handbook"]}]
    assert parts[-1][1]["config"] == {
        "model": "small",
        "sources": ["handbook"],
        "servers": ["clock"],
        "tools": None,
        "temperature": None,
        "max_steps": 3,
        "approval": "ask",
    }


async def test_an_earlier_config_is_replaced(graph: Any) -> None:
    state = await graph.ainvoke({"config": {"model": "large"}}, context=RunContext(tools=[]))
    assert (state["config"]["model"], state["config"]["tools"]) == ("small", [])


async def test_the_groups_of_the_run_decide(graph: Any) -> None:
    state = await graph.ainvoke({}, context=RunContext(model="large", groups=["staff"]))
    assert state["config"]["model"] == "large"
    with pytest.raises(UnknownModel):
        await graph.ainvoke({}, context=RunContext(model="large"))


async def test_a_run_without_context_has_the_defaults(graph: Any) -> None:
    assert (await graph.ainvoke({}))["config"]["model"] == "small"
