"""What only a turn needs is made again where it is missing, whatever form a step's writes have."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from core.access import RunContext
from core.choices import checked
from core.errors import InvalidInput
from graph.flow.builder import build_graph
from graph.flow.state import State
from graph.flow.steps import turn_only
from tests.kit.steps import after_model, steps_with

THREAD: Any = {"configurable": {"thread_id": "t"}}
ASKED = {"messages": [HumanMessage("hello", id="h")]}
CALL = {"id": "c", "name": "x", "args": {}, "type": "tool_call"}


class CallReads(TypedDict, total=False):
    call: dict[str, Any]
    config: dict[str, Any]


class Tools:
    """Says with which configuration it was called, once somebody has said yes."""

    async def __call__(self, state: CallReads, runtime: Runtime[RunContext]) -> dict[str, Any]:
        interrupt({"kind": "approval"})
        text = str(state.get("config"))
        return {"messages": [ToolMessage(text, tool_call_id=state["call"]["id"], id="r")]}


def built(**nodes: Any) -> tuple[Any, list[str]]:
    """The graph on functions that write down their calls."""
    log: list[str] = []

    def lookup_config(state: Any, runtime: Any) -> Command[Any]:
        log.append("lookup_config")
        return Command(update={"config": {"model": runtime.context.model if runtime.context else "none"}})

    def retrieve(state: Any, runtime: Any) -> None:
        log.append("retrieve")

    def call_model(state: Any, runtime: Any) -> Command[Any]:
        log.append(f"{state['config']['model']} {state['documents']}")
        return Command(update={"messages": [AIMessage("hi", id="a")]})

    def store_files(state: Any, runtime: Any) -> None:
        log.append("store_files")

    given = {
        "lookup_config": lookup_config,
        "retrieve": retrieve,
        "call_model": call_model,
        "execute_tools": Tools(),
        "store_files": store_files,
        **nodes,
    }
    return build_graph(steps_with(given), after_model()).compile(checkpointer=InMemorySaver()), log


def test_the_channels_of_a_turn_are_those_that_are_not_stored() -> None:
    assert {"config": dict, "documents": list} == turn_only(State)


async def test_a_whole_turn_looks_up_once() -> None:
    graph, log = built()
    await graph.ainvoke(ASKED, THREAD, context=RunContext(model="m"))
    assert log == ["lookup_config", "retrieve", "m []", "store_files"]


@pytest.mark.parametrize("step", ["retrieve", "call_model", "store_files"])
async def test_st1_a_turn_that_stopped_before_a_step_looks_up_what_that_reads(step: str) -> None:
    graph, log = built()
    await graph.ainvoke(ASKED, THREAD, context=RunContext(model="m"), interrupt_before=[step])
    log.clear()
    ended = await graph.ainvoke(None, THREAD, context=RunContext(model="m"), interrupt_before=[step])
    again = {"retrieve": ["lookup_config"], "call_model": ["lookup_config", "retrieve"]}
    behind = {"retrieve": ["retrieve", "m []", "store_files"], "call_model": ["m []", "store_files"]}
    # A function reads everything, and so does what stands in for the last step here.
    assert log == [*again.get(step, ["lookup_config", "retrieve"]), *behind.get(step, ["store_files"])]
    assert [message.content for message in ended["messages"]] == ["hello", "hi"]


@pytest.mark.parametrize(
    ("context", "told"), [(RunContext(model="later"), "{'model': 'later'}"), (None, "{'model': 'none'}")]
)
async def test_a_call_that_waited_is_made_with_the_choices_of_whoever_answers(
    context: RunContext | None, told: str
) -> None:
    answers = [AIMessage("", id="a", tool_calls=[CALL]), AIMessage("done", id="b")]
    graph, _ = built(call_model=lambda state, runtime: {"messages": [answers.pop(0)]})
    await graph.ainvoke(ASKED, THREAD, context=RunContext(model="m"))
    ended = await graph.ainvoke(Command(resume=True), THREAD, context=context)
    assert [message.content for message in ended["messages"]] == ["hello", "", told, "done"]


@pytest.mark.parametrize(
    "messages",
    [[], [AIMessage("x")], [HumanMessage("hello"), AIMessage("hi")]],
    ids=["none", "no user", "answered"],
)
async def test_the_model_is_not_asked_where_nothing_waits_for_an_answer(messages: list[Any]) -> None:
    graph, log = built()
    with pytest.raises(InvalidInput, match="send"):
        await graph.ainvoke({"messages": messages}, THREAD)
    assert "store_files" not in log


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("max_steps", value) for value in ("many", True, [1])),
        ("temperature", "warm"),
        *(("tools", value) for value in ("calculator", [1], {"a": 1})),
        ("sources", 5),
        ("groups", "staff"),
        ("levels", [None]),
        ("model", 5),
        ("user", None),
        ("approval", ["ask"]),
    ],
)
def test_st3_a_choice_of_a_wrong_kind_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=f"^{field} must be "):
        checked(RunContext(**{field: value}))
    assert checked(RunContext(tools=["a"], max_steps=3, temperature=1)) == RunContext(
        tools=["a"], max_steps=3, temperature=1
    )
