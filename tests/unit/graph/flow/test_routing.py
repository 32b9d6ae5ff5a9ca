"""Where a turn goes next, and where it stops going round."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.graph import END
from langgraph.types import Send

from core.settings.book import Editions
from core.settings.platform import LimitSettings
from graph.errors import StepLimit
from graph.flow.routing import AfterModel, Ways, after_files, this_turn
from graph.flow.state import State

WAYS = Ways(begin="lookup_config", tools="execute_tools", files="store_files")
after_model = AfterModel(Editions.fixed(LimitSettings(steps=3, tool_calls=4))).ways(WAYS)
after_end = after_files("lookup_config")


def asks(*ids: str) -> AIMessage:
    return AIMessage("", tool_calls=[{"id": key, "name": "calculator_add", "args": {}} for key in ids])


def state(*messages: AnyMessage, **config: Any) -> State:
    before: list[AnyMessage] = [HumanMessage("old"), AIMessage("done"), HumanMessage("new")]
    return {"messages": [*before, *messages], "config": config}


def test_an_answer_goes_to_the_files() -> None:
    assert after_model(state(AIMessage("8"))) == "store_files"


def test_each_tool_call_becomes_a_task_of_its_own() -> None:
    sends = after_model(state(asks("a", "b"), model="offline"))
    assert isinstance(sends, list)
    assert all(isinstance(send, Send) for send in sends)
    assert [send.arg["call"]["id"] for send in sends] == ["a", "b"]
    assert sends[0].arg["config"] == {"model": "offline"}


def test_a_turn_that_keeps_asking_for_tools_ends_at_its_limit() -> None:
    rounds: list[AnyMessage] = [
        asks("a"),
        ToolMessage("1", tool_call_id="a"),
        asks("b"),
        ToolMessage("2", tool_call_id="b"),
    ]
    assert isinstance(after_model(state(*rounds[:3])), list)
    with pytest.raises(StepLimit, match="3 steps"):
        after_model(state(*rounds, asks("c")))


def test_the_caller_may_ask_for_fewer_steps() -> None:
    with pytest.raises(StepLimit, match="1 steps"):
        after_model(state(asks("a"), max_steps=1))


def test_more_tool_calls_than_the_limit_end_the_turn() -> None:
    with pytest.raises(StepLimit, match="more than 4"):
        after_model(state(asks("a", "b", "c", "d", "e")))


def test_a_question_that_was_changed_from_outside_begins_a_turn_again() -> None:
    asked: State = {"messages": [HumanMessage("new")]}
    assert after_model(asked) == "lookup_config"
    assert after_end(asked) == "lookup_config"
    assert after_end({"messages": [*asked["messages"], AIMessage("8")]}) == END
    assert after_end({**asked, "config": {"model": "offline"}}) == END
    assert after_end({"messages": []}) == END


def test_somebody_who_writes_in_the_models_place_needs_no_configuration() -> None:
    sends = after_model({"messages": [HumanMessage("new"), asks("a")]})
    assert isinstance(sends, list)
    assert [send.arg["config"] for send in sends] == [{}]


def test_a_turn_is_what_follows_the_last_human_message() -> None:
    assert [m.content for m in this_turn(state(AIMessage("8"))["messages"])] == ["new", "8"]
