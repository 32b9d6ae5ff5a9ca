"""A step stands by any other, on either side or in its place, and runs there; or the start stops."""

from __future__ import annotations

import operator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langgraph.channels import UntrackedValue
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from core.access import Principal, RunContext
from core.errors import ConfigInvalid
from core.registry import Module, discover
from core.steps import Step
from graph import Agent
from graph.flow.builder import build_graph, last_step
from graph.flow.steps import Steps, check_places, declared_by, placed
from tests.kit.steps import FIVE, after_model, steps_with
from waystation.testing.agents import open_agent

LOCAL = Principal("local")
SUM = {"messages": [("user", "What is 5 + 3?")]}
UNTYPED: Any = Step
THREAD: Any = {"configurable": {"thread_id": "t"}}


class Reads(TypedDict, total=False):
    config: dict[str, Any]


class Noting:
    """A step that writes down what it was called for."""

    def __init__(self, name: str, log: list[str]) -> None:
        self._name, self._log = name, log

    async def __call__(self, state: Reads, runtime: Runtime[RunContext]) -> dict[str, Any]:
        self._log.append(self._name)
        return {}


def module(name: str, step: Step) -> Module:
    (llm,) = [found for found in discover() if found.name == "llm"]
    return replace(llm, name=name, command=name, step=step, sections=(), files=(), required=False)


def by(side: str, name: str, step: Step) -> Step:
    return replace(step, after=name) if side == "after" else replace(step, before=name)


@pytest.mark.parametrize(
    ("name", "times"),
    [("lookup_config", 1), ("retrieve", 1), ("call_model", 2), ("execute_tools", 1), ("store_files", 1)],
)
@pytest.mark.parametrize("side", ["after", "before"])
async def test_st7_a_step_by_any_of_the_five_runs_there(
    name: str, times: int, side: str, tmp_path: Path
) -> None:
    log: list[str] = []
    own = [by(side, name, Step("first", Noting("first", log)))]
    own += [by(side, "first", Step("second", Noting("second", log)))]
    order = ["first", "second"] if side == "after" else ["second", "first"]
    async with open_agent(tmp_path) as agent:
        nodes = (await agent.container.get(Steps)).nodes
        table = steps_with(nodes, *own)
        graph = build_graph(table, after_model()).compile(checkpointer=InMemorySaver())
        ended = await graph.ainvoke(SUM, THREAD, context=RunContext())
        assert ended["messages"][-1].content == "5 + 3 = 8"
        assert log == order * times
        last = order[-1] if (side, name) == ("after", "store_files") else "store_files"
        assert last_step(graph) == last
        await graph.aupdate_state(THREAD, {"messages": [AIMessage("more")]}, as_node=last)
        assert (await graph.aget_state(THREAD)).next == ()


def test_st7_steps_stand_by_what_they_declare_whoever_runs() -> None:
    first, second = Step("first", len, after="call_model"), Step("second", len, after="first")
    declared = [*declared_by(discover()), first, second]
    check_places(discover(), [first, second])
    found = placed(declared, declared, lambda step: step.run)
    assert [step.name for step in found.of("model")] == ["call_model", "first", "second"]
    # A neighbour that does not run leaves its place to whoever follows it.
    alone = placed([step for step in declared if step is not first], declared, lambda step: step.run)
    assert [step.name for step in alone.of("model")] == ["call_model", "second"]


def test_two_steps_at_one_place_stand_in_the_order_in_which_they_are_declared() -> None:
    own = [Step(name, len, after="retrieve") for name in ("one", "two")]
    ahead = [Step(name, len, before="store_files") for name in ("three", "four")]
    table = steps_with(dict.fromkeys(FIVE, len), *own, *ahead)
    assert [step.name for step in table.of("passages")] == ["retrieve", "one", "two"]
    assert [step.name for step in table.of("files")] == ["three", "four", "store_files"]


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (Step("greet", len), "step 'greet': say where it stands by one of after=, before= and instead_of="),
        (Step("greet", len, after="retrieve", before="retrieve"), "step 'greet': say where it stands by one"),
        (Step("greet", len, after="nowhere"), "step 'greet': there is no step 'nowhere' to stand by"),
        (Step("greet", len, before="__end__"), "step 'greet': there is no step '__end__' to stand by"),
        (Step("greet", len, instead_of="gone"), "step 'greet': there is no step 'gone' to stand by"),
        (Step("greet", len, after="greet"), "step 'greet': steps name each other in a circle"),
        (Step("greet", len, part="model"), "step 'greet': 'call_model' is this part of every turn"),
        (Step("my-step", len, after="retrieve"), "step 'my-step': a step's name is one word"),
        (Step("messages", len, after="retrieve"), "step 'messages': a step's name is one word"),
        (Step("__start__", len, after="retrieve"), "step '__start__': a step's name is one word"),
        (Step("retrieve", len, after="call_model"), "step 'retrieve': another step has this name"),
        (
            Step("greet", len, after="retrieve", channels={"messages": list}),
            "step 'greet': a channel's name is one word, and none of the state's: ",
        ),
        (
            Step("greet", len, after="retrieve", channels={"call_model": list}),
            "step 'greet': the channel 'call_model' has the name of a step",
        ),
        (
            Step("greet", len, after="retrieve", channels={"mood": str}, makes="mood"),
            "step 'greet': makes='mood' has to be one of its channels",
        ),
    ],
)
async def test_st7_a_step_that_can_stand_nowhere_stops_the_start(
    step: Step, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        check_places(discover(), [step])
    assert refused.value.detail.startswith(sentence)
    if "possible" in refused.value.detail:
        assert all(name in refused.value.detail for name in FIVE if name != step.name)
    monkeypatch.setattr("graph.wiring.services.discover", lambda: [*discover(), module("mine", step)])
    with pytest.raises(ConfigInvalid, match="module 'mine', step '") as refused:
        async with open_agent(tmp_path):
            raise AssertionError


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        (Step("own", len, after="retrieve"), r"steps= is a list of steps"),
        ([len], "this is no step; write Step"),
        ([UNTYPED(5, len, after="retrieve")], "step '5': its name and the step that it stands by are texts"),
        (
            [UNTYPED("own", len, after=["retrieve"])],
            "step 'own': its name and the step that it stands by are",
        ),
        ([UNTYPED("own", len, after="retrieve", channels=["seen"])], "step 'own': channels= is a mapping"),
        (
            [UNTYPED("own", len, after="retrieve", channels={"seen": "lst[int]"})],
            "'own': its channels cannot be",
        ),
        (
            [UNTYPED("own", len, after="retrieve", channels={"seen": Annotated[int, len]})],
            "'own': its channels cannot be read: Invalid reducer",
        ),
    ],
)
def test_what_is_no_declaration_stops_the_start_with_a_sentence(steps: Any, sentence: str) -> None:
    with pytest.raises(ConfigInvalid, match=sentence):
        check_places(discover(), steps)


def yielding(state: Any) -> Any:
    yield {"messages": []}


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (yielding, "step 'own': '.*' yields; a node returns what it writes"),
        (lambda: None, "step 'own': '.*' cannot be called with"),
        (lambda state, runtime, more: None, "step 'own': '.*' cannot be called with"),
        (5, "step 'own': '5' cannot be called"),
        ("no.such:thing", "step 'own': 'no.such:thing' cannot be imported"),
    ],
)
async def test_what_cannot_run_as_a_step_stops_the_start(run: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=sentence):
        async with open_agent(tmp_path, steps=[Step("own", run, after="retrieve")]):
            raise AssertionError


def test_steps_that_take_each_others_place_are_a_circle() -> None:
    own = [Step("a", len, instead_of="b"), Step("b", len, instead_of="a")]
    with pytest.raises(ConfigInvalid, match="step 'a': steps name each other in a circle"):
        check_places(discover(), own)


async def test_a_plain_function_may_be_a_step(tmp_path: Path) -> None:
    def shout(state: Any) -> AIMessage:
        last = state["messages"][-1]
        changed: AIMessage = last.model_copy(update={"content": last.content.upper()})
        return changed

    async with open_agent(tmp_path, steps=[Step("shout", shout, after="store_files")]) as agent:
        reply = await agent.ask("Who are you?", thread="t")
        assert reply["answer"].startswith("I AM THE OFFLINE MODEL")


async def test_a_runnable_may_be_a_step(tmp_path: Path) -> None:
    note: Any = RunnableLambda(lambda state: {"messages": [("system", f"{len(state['messages'])} so far")]})
    async with open_agent(tmp_path, steps=[Step("note", note, after="retrieve")]) as agent:
        await agent.ask("Who are you?", thread="t")
        page = await agent.threads.transcript(LOCAL, "t")
        assert "1 so far" in [message["text"] for message in page["messages"]]


async def test_a_guard_behind_the_model_sees_each_answer_before_tools_are_called(tmp_path: Path) -> None:
    def guard(state: Any, runtime: Any) -> dict[str, Any]:
        last = state["messages"][-1]
        refused = {"content": "I do not calculate.", "tool_calls": []}
        return {"messages": [last.model_copy(update=refused)]} if last.tool_calls else {}

    async with open_agent(tmp_path, steps=[Step("guard", guard, after="call_model")]) as agent:
        reply = await agent.ask("What is 5 + 3?", thread="t")
        assert (reply["answer"], reply["tool_calls"]) == ("I do not calculate.", [])
        assert await _texts(agent) == ["What is 5 + 3?", "I do not calculate."]
        assert (await agent.ask("Who are you?", thread="t"))["answer"].startswith("I am the offline model")


async def test_a_guard_ahead_of_the_tools_may_take_a_call_away(tmp_path: Path) -> None:
    def guard(state: Any, runtime: Any) -> dict[str, Any]:
        last = state["messages"][-1]
        return {"messages": [last.model_copy(update={"content": "Not now.", "tool_calls": []})]}

    async with open_agent(tmp_path, steps=[Step("guard", guard, before="execute_tools")]) as agent:
        reply = await agent.ask("What is 5 + 3?", thread="t")
        assert (reply["status"], reply["answer"], reply["tool_calls"]) == ("done", "Not now.", [])


@pytest.mark.parametrize("name", ["retrieve", "call_model"])
async def test_a_step_takes_the_place_of_another(name: str, tmp_path: Path) -> None:
    def mine(state: Any, runtime: Any) -> dict[str, Any]:
        if name == "retrieve":
            return {"documents": []}
        return {"messages": [AIMessage(f"{len(state['documents'])} passages")]}

    own = [Step("mine", mine, instead_of=name), Step("behind", lambda _: None, after=name)]
    async with open_agent(tmp_path, steps=own) as agent:
        assert {"mine", "behind"} <= set(agent.graph.get_graph().nodes)
        assert name not in agent.graph.get_graph().nodes
        reply = await agent.ask("How long may a berth be reserved?", thread="t")
        assert (reply["status"], reply["citations"]) == ("done", [])
        if name == "call_model":
            assert reply["answer"].endswith("passages")
            assert len(await _texts(agent)) == 2


async def test_a_step_brings_channels_with_their_reducers(tmp_path: Path) -> None:
    def count(state: Any, runtime: Any) -> dict[str, Any]:
        return {"seen": [len(state["messages"])], "mood": "calm"}

    channels = {"seen": Annotated[list[int], operator.add], "mood": str}
    own = [Step("count", count, after="call_model", channels=channels)]
    async with open_agent(tmp_path, steps=own) as agent:
        await agent.ask("What is 5 + 3?", thread="t", approval="auto")
        await agent.ask("Who are you?", thread="t")
        state = await agent.graph.aget_state(THREAD)
        assert (state.values["seen"], state.values["mood"]) == ([2, 4, 6], "calm")


async def test_what_a_step_makes_for_a_turn_is_made_again_after_a_pause(tmp_path: Path) -> None:
    made: list[str] = []
    heard: list[str] = []

    def mood(state: Any, runtime: Any) -> dict[str, Any]:
        made.append("calm")
        return {"feeling": "calm"}

    def read(state: Any, runtime: Any) -> None:
        heard.append(state["feeling"])

    channels = {"feeling": Annotated[str, UntrackedValue(str)]}
    own = [
        Step("mood", mood, after="retrieve", channels=channels, makes="feeling"),
        Step("read", read, after="store_files"),
    ]
    files = {"mcp.json": '{"calculator": {"require_approval": ["*"]}}'}
    async with open_agent(tmp_path, files=files, steps=own) as agent:
        reply = await agent.ask("What is 5 + 3?", thread="t")
        (waits,) = reply["interrupts"]
        reply = await agent.ask(thread="t", resume={waits["id"]: {"approve": True}})
        assert reply["status"] == "done"
        assert heard == ["calm"]
        assert len(made) > 1
        assert "feeling" not in (await agent.graph.aget_state(THREAD)).values


async def _texts(agent: Agent) -> list[str]:
    page = await agent.threads.transcript(LOCAL, "t")
    state = await agent.threads.state(LOCAL, "t")
    assert [m["text"] for m in state["messages"]] == [m["text"] for m in page["messages"]]
    return [message["text"] for message in page["messages"]]


async def test_models_that_are_no_mapping_stop_the_start_with_a_sentence() -> None:
    models: Any = [object()]
    with pytest.raises(ConfigInvalid, match="models= is a mapping of names to models"):
        async with Agent.open(models=models):
            raise AssertionError
