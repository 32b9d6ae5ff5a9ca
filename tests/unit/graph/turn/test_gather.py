"""What a reply is made of is kept when a step returns, and once more when LangGraph gives its update."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, ToolMessage

from graph.runs.record import Outcome
from graph.turn.driver import asking, gather


def test_an_update_that_comes_twice_says_its_messages_once() -> None:
    outcome = Outcome()
    outcome.streamed.append("19 + 23 is 42")
    told = [AIMessage("19 + 23 is 42", id="m1"), ToolMessage("42", tool_call_id="c1")]
    for message in told:
        for _ in range(2):
            gather(outcome, {"step": {"messages": [message]}})
    assert outcome.messages == told
    assert outcome.streamed == []


def test_two_results_without_ids_that_say_the_same_are_two() -> None:
    outcome = Outcome()
    same = [ToolMessage("42", tool_call_id="c1"), ToolMessage("42", tool_call_id="c1")]
    gather(outcome, {"step": {"messages": same}})
    assert len(outcome.messages) == 2


def test_who_is_asked_in_a_turn_that_ends_otherwise_is_asked_nothing() -> None:
    outcome = Outcome()
    with asking(outcome):
        outcome.interrupts.append({"id": "q1"})
    assert outcome.interrupts == [{"id": "q1"}]
    with pytest.raises(TimeoutError), asking(outcome):
        raise TimeoutError
    assert outcome.interrupts == []
