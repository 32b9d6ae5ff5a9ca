"""The question that a person is asked, in our shape and in the standard one, and what becomes of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from typing_extensions import TypedDict

from nodes.mcp_tools.calls import MALFORMED
from nodes.mcp_tools.executor import Target
from nodes.mcp_tools.interrupts import AT_MOST, Decision, decide
from nodes.mcp_tools.models import ToolInfo

CALL = {"id": "c1", "name": "sums_add", "args": {"a": 5, "b": 3}}
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "number"}, "b": {"type": "number"}, "_atlas_user": {"type": "string"}},
    "required": ["a", "b", "_atlas_user"],
}
TARGET = Target("sums", "add", ToolInfo("add", parameters=SCHEMA), approval=True)
EDIT = {"type": "edit", "edited_action": {"name": "sums_add", "args": {"a": 1, "b": 2}}}


class State(TypedDict, total=False):
    decision: str


def no_ones(arguments: Mapping[str, Any]) -> str:
    return "a must not be 11." if arguments.get("a") == 11 else ""


class Asked:
    """A step that asks once, and the person's side of it."""

    def __init__(
        self, call: dict[str, Any] | None = None, target: Target = TARGET, mode: str = "ask"
    ) -> None:
        def step(_: State) -> dict[str, Any]:
            return {"decision": repr(decide(call or CALL, target, mode, no_ones))}

        graph = StateGraph(State).add_node("step", RunnableLambda(step))
        graph.add_edge(START, "step").add_edge("step", END)
        self._graph = graph.compile(checkpointer=InMemorySaver())
        self._config: Any = {"configurable": {"thread_id": "t"}}

    async def begin(self) -> dict[str, Any]:
        """The question."""
        return self._asks(await self._graph.ainvoke({"decision": ""}, self._config))

    async def answer(self, answer: Any) -> Any:
        """The decision's text, or the next question."""
        found = await self._graph.ainvoke(Command(resume=answer), self._config)
        return self._asks(found) if "__interrupt__" in found else found["decision"]

    @staticmethod
    def _asks(found: dict[str, Any]) -> dict[str, Any]:
        (waiting,) = found["__interrupt__"]
        value: dict[str, Any] = waiting.value
        return value


async def decided(answer: Any) -> Any:
    asked = Asked()
    await asked.begin()
    return await asked.answer(answer)


async def test_the_question_has_our_shape_and_the_standard_one() -> None:
    asked = await Asked().begin()
    assert asked["kind"] == "approval"
    assert asked["call"] == {"id": "c1", "server": "sums", "tool": "add", "arguments": {"a": 5, "b": 3}}
    (request,), (review,) = asked["action_requests"], asked["review_configs"]
    assert request == {"name": "sums_add", "args": {"a": 5, "b": 3}, "description": asked["detail"]}
    assert review["action_name"] == "sums_add"
    assert review["allowed_decisions"] == ["approve", "edit", "reject", "respond"]
    assert set(review["args_schema"]["properties"]) == {"a", "b"}, "what we fill in is nobody's to edit"
    assert review["args_schema"]["required"] == ["a", "b"]


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        (True, Decision(asked=True)),
        ({"approve": True}, Decision(asked=True)),
        ({"approve": False, "reason": "no"}, Decision("reject", "no", asked=True)),
        ({"decisions": [{"type": "approve"}]}, Decision(asked=True)),
        (
            {"decisions": [{"type": "reject", "message": "not now"}]},
            Decision("reject", "not now", asked=True),
        ),
        ({"type": "reject"}, Decision("reject", asked=True)),
        ([{"type": "accept", "args": None}], Decision(asked=True)),
        ([{"type": "ignore", "args": None}], Decision("reject", asked=True)),
        ([{"type": "response", "args": "use 4 instead"}], Decision("reject", "use 4 instead", asked=True)),
        ({"decisions": [EDIT]}, Decision("edit", arguments={"a": 1, "b": 2}, asked=True)),
        (EDIT, Decision("edit", arguments={"a": 1, "b": 2}, asked=True)),
        (
            [{"type": "edit", "args": {"action": "sums_add", "args": {"a": 1, "b": 2}}}],
            Decision("edit", arguments={"a": 1, "b": 2}, asked=True),
        ),
        ({"approve": True, "arguments": {"a": 5, "b": 3}}, Decision(asked=True)),
        ({"type": "respond", "message": "It is 8."}, Decision("respond", "It is 8.", asked=True)),
        ({"respond": "It is 8."}, Decision("respond", "It is 8.", asked=True)),
    ],
)
async def test_every_form_of_an_answer_is_understood(answer: Any, decision: Decision) -> None:
    assert await decided(answer) == repr(decision)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"decisions": [{"type": "approve"}, {"type": "approve"}]}, "2 decisions for one action"),
        ({"decisions": []}, "0 decisions for one action"),
        ({"decisions": "approve"}, "decisions must be a list"),
        ({"type": 1}, "type: 1 is no decision here; use one of approve, edit, reject, respond"),
        ([], "0 decisions"),
        ("yes", "an answer is"),
        (3, "an answer is"),
        ({"type": "edit", "edited_action": {"name": "sums_rm", "args": {}}}, "'sums_rm' is another tool"),
        ({"approve": True, "arguments": {"a": "x", "b": 1}}, "'a': 'x' is not of type 'number'"),
        (
            {"approve": True, "arguments": {"a": 11, "b": 1}},
            "the edited call cannot be made: a must not be 11. May",
        ),
        ({"approve": True, "arguments": {"a": float("nan"), "b": 1}}, "the answer.arguments.a is NaN"),
    ],
)
async def test_what_cannot_be_read_leaves_the_question_open_and_says_why(answer: Any, says: str) -> None:
    asked = Asked()
    first = await asked.begin()
    again = await asked.answer(answer)
    assert isinstance(again, dict), "nothing was decided"
    assert says in again["detail"]
    assert again["problem"] in again["detail"]
    assert again["action_requests"][0]["description"] == again["detail"]
    assert again["call"] == first["call"]
    assert await asked.answer(True) == repr(Decision(asked=True))


async def test_an_answer_to_another_question_is_no_answer_and_the_question_stays_as_it_was() -> None:
    asked = Asked()
    first = await asked.begin()
    assert await asked.answer({"approve": True, "asked": "another"}) == first
    assert await asked.answer({"approve": True, "asked": first["asked"]}) == repr(Decision(asked=True))


async def test_answers_that_cannot_be_read_refuse_the_call_in_the_end() -> None:
    asked = Asked()
    await asked.begin()
    for _ in range(AT_MOST - 1):
        assert isinstance(await asked.answer("yes"), dict)
    assert "no answer could be taken" in await asked.answer("yes")


def test_who_decided_what_is_recorded_and_nothing_where_nobody_was_asked() -> None:
    assert Decision().record(CALL, "ada") is None
    assert Decision(asked=True).record(CALL, "ada") == {"type": "approve", "by": "ada"}
    assert Decision("reject", "no", asked=True).record(CALL, "ada") == {
        "type": "reject",
        "by": "ada",
        "reason": "no",
    }
    edit = Decision("edit", arguments={"a": 1}, asked=True)
    assert edit.record(CALL, "ada") == {
        "type": "edit",
        "by": "ada",
        "before": {"a": 5, "b": 3},
        "after": {"a": 1},
    }
    assert edit.applied(CALL) == {**CALL, "args": {"a": 1}}


async def test_true_in_the_place_of_one_is_an_edit_and_5_in_the_place_of_5_0_is_none() -> None:
    call = {**CALL, "args": {"a": 1, "b": 5.0, "c": [{"d": False}]}}
    any_schema = {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}}
    target = Target("sums", "add", ToolInfo("add", parameters=any_schema), approval=True)
    for after, kind in (
        ({"a": True, "b": 5.0, "c": [{"d": False}]}, "edit"),
        ({"a": 1, "b": 5.0, "c": [{"d": 0}]}, "edit"),
        ({"a": 1, "b": 5.0, "c": []}, "edit"),
        ({"a": 1, "b": 5, "c": [{"d": False}]}, "approve"),
    ):
        asked = Asked(call, target)
        await asked.begin()
        assert f"kind='{kind}'" in await asked.answer({"approve": True, "arguments": after})


async def test_what_the_service_fills_in_is_not_told_as_edited() -> None:
    asked = Asked()
    await asked.begin()
    mine = {"a": 5, "b": 3, "_atlas_user": "boss"}
    assert "kind='approve'" in await asked.answer({"approve": True, "arguments": mine})


async def test_g6_the_operators_wish_is_a_floor_that_auto_does_not_lower() -> None:
    question = await Asked(mode="auto").begin()
    assert "approval: auto does not count here" in question["detail"]
    lowered = Target("sums", "add", TARGET.tool, approval=True, firm=False)
    assert decide(CALL, lowered, "auto") == Decision()
    assert decide(CALL, lowered, "deny").kind == "reject"
    assert decide(CALL, TARGET, "deny").kind == "reject"


def test_nobody_is_asked_about_a_call_that_cannot_be_made() -> None:
    assert decide({**CALL, "args": {MALFORMED: "{"}}, TARGET, "ask") == Decision()


async def test_a_form_that_is_too_large_to_be_kept_is_left_out_of_the_question() -> None:
    wide = {"type": "object", "properties": {"a": {"type": "string", "description": "x" * 40_000}}}
    asked = await Asked(target=Target("sums", "add", ToolInfo("add", parameters=wide), approval=True)).begin()
    assert "args_schema" not in asked["review_configs"][0]
