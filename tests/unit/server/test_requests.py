"""What of a client's body becomes a turn."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError

from core.access import Principal
from core.choices import Choices
from server.errors import InvalidRequest
from server.requests import AgentInput, check_config, turn_request, validated

ADA = Principal("ada")


@pytest.mark.parametrize(
    "config",
    [
        None,
        {},
        {"configurable": None},
        {"configurable": {"thread_id": "", "model": ""}},
        {
            "tags": [],
            "metadata": {"thread_id": "x"},
            "recursion_limit": 25,
            "callbacks": None,
            "configurable": {},
        },
        {"runName": "x", "configurable": {"temperature": 1, "tools": []}},
    ],
)
def test_what_langchains_clients_send_of_their_own_is_let_pass(config: Any) -> None:
    check_config(config)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"configurable": {"thread": "t"}}, "did you mean 'thread_id'"),
        ({"configurable": {"zzz": 1}}, "allowed: thread_id"),
        ({"configurable": {"__pregel_checkpointer": False}}, "not allowed"),
        ({"configurable": {"checkpoint_id": "x"}}, "not allowed"),
        ({"configurable": {"user": "eve"}}, "not allowed"),
        ({"configurable": {"principal": "eve"}}, "not allowed"),
        ({"thread_id": "t"}, "belongs into config.configurable"),
        ({"store": 1}, "unknown key"),
        ([], "must be an object"),
    ],
)
def test_a_key_that_is_not_on_the_list_is_refused(config: Any, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        check_config(config)


@pytest.mark.parametrize(
    "configurable",
    [
        {"thread_id": "a/b"},
        {"thread_id": "a\n"},
        {"thread_id": "x" * 65},
        {"thread_id": {"a": 1}},
        {"thread_id": 5},
        {"model": ["x"]},
        {"sources": "handbook"},
        {"sources": [""]},
        {"tools": {"a": 1}},
        {"temperature": "0.5"},
        {"temperature": 2.1},
        {"temperature": True},
        {"top_p": 1.01},
        {"top_p": -0.1},
        {"top_p": "0.5"},
        {"max_steps": 0},
        {"max_steps": 1.5},
        {"approval": "always"},
        {"on_disconnect": "ignore"},
        ["thread_id"],
        "thread_id",
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(configurable: Any) -> None:
    with pytest.raises((RequestValidationError, InvalidRequest)):
        check_config({"configurable": configurable})


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"message": ""},
        {"message": " \n"},
        {"message": "hi", "resume": {"approve": True}},
        {"resume": {"approve": True}, "files": ["f"]},
        {"message": "hi", "messages": []},
        {"message": 5},
        {"message": ["hi"]},
        {"message": "hi", "files": "f"},
        "hi",
        [],
    ],
)
def test_an_input_that_is_no_turn_is_refused(value: Any) -> None:
    with pytest.raises(RequestValidationError):
        validated(AgentInput, value, "input")


def test_a_star_means_all_that_the_caller_may_use() -> None:
    request = turn_request(ADA, AgentInput(message="hi"), {"sources": ["*"], "tools": ["*"]})
    assert (request.choices.sources, request.choices.tools) == (None, None)


def test_a_turn_takes_what_was_wished_and_the_caller_that_was_authenticated() -> None:
    wishes = {
        "thread_id": "t1",
        "sources": [],
        "tools": ["calculator"],
        "temperature": 0.0,
        "principal": "eve",
    }
    request = turn_request(ADA, AgentInput(message="hi", files=["f1"]), wishes)
    assert request.principal == ADA
    assert request.choices == Choices(sources=(), tools=("calculator",), temperature=0.0)
    assert (request.thread_id, request.files, request.resume) == ("t1", ("f1",), None)
    assert (request.choices.approval, request.on_disconnect, request.choices.model) == ("ask", "cancel", "")
