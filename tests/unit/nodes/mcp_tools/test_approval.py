"""The question that a person is asked, in our shape and in the standard one, and how answers are read."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from typing_extensions import TypedDict

from nodes.mcp_tools.approval import Decision, decide, read_answer
from nodes.mcp_tools.executor import Target
from nodes.mcp_tools.models import ToolInfo

CALL = {"id": "c1", "name": "sums_add", "args": {"a": 5, "b": 3}}
TARGET = Target("sums", "add", ToolInfo("add"), approval=True)


class State(TypedDict, total=False):
    decision: str


async def asked_with(answer: Any) -> tuple[dict[str, Any], str]:
    """What was asked, and what became of `answer`."""

    def step(_: State) -> dict[str, Any]:
        return {"decision": repr(decide(CALL, TARGET, "ask"))}

    graph = StateGraph(State).add_node("step", RunnableLambda(step))
    graph.add_edge(START, "step").add_edge("step", END)
    compiled = graph.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    paused = await compiled.ainvoke({"decision": ""}, config)
    (waiting,) = paused["__interrupt__"]
    ended = await compiled.ainvoke(Command(resume={waiting.id: answer}), config)
    return waiting.value, ended["decision"]


async def test_the_question_has_our_shape_and_the_standard_one() -> None:
    asked, decided = await asked_with({"approve": True})
    assert decided == repr(Decision(True))
    assert asked["kind"] == "approval"
    assert asked["call"] == {"id": "c1", "server": "sums", "tool": "add", "arguments": {"a": 5, "b": 3}}
    (request,), (review,) = asked["action_requests"], asked["review_configs"]
    assert request == {"name": "sums_add", "args": {"a": 5, "b": 3}, "description": asked["text"]}
    assert review == {"action_name": "sums_add", "allowed_decisions": ["approve", "reject"]}


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        (True, Decision(True)),
        ({"approve": True}, Decision(True)),
        ({"approve": False, "reason": "no"}, Decision(False, "no")),
        ({"decisions": [{"type": "approve"}]}, Decision(True)),
        ({"decisions": [{"type": "reject", "message": "not now"}]}, Decision(False, "not now")),
        ({"type": "reject"}, Decision(False)),
        ([{"type": "accept", "args": None}], Decision(True)),
        ([{"type": "ignore", "args": None}], Decision(False)),
        ([{"type": "response", "args": "use 4 instead"}], Decision(False, "use 4 instead")),
    ],
)
async def test_our_answers_and_the_standard_ones_are_understood(answer: Any, decision: Decision) -> None:
    assert (await asked_with(answer))[1] == repr(decision)


@pytest.mark.parametrize(
    "answer",
    [
        {"decisions": [{"type": "approve"}, {"type": "approve"}]},
        {"decisions": []},
        {"decisions": "approve"},
        {"decisions": [{"type": "edit", "edited_action": {"name": "sums_add", "args": {}}}]},
        {"type": 1},
        [],
        "yes",
        3,
    ],
)
def test_what_is_not_understood_refuses(answer: Any) -> None:
    assert not read_answer(answer).approved


def test_an_edited_call_is_refused_with_the_reason() -> None:
    edit = {"decisions": [{"type": "edit", "edited_action": {"name": "sums_add", "args": {"a": 1}}}]}
    assert "approve or reject" in read_answer(edit).reason
