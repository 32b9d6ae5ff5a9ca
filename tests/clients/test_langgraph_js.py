"""The JavaScript SDK of LangGraph and its React hook `useStream`, in Node, against a real service."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.clients import node
from waystation.testing.model_server import ModelServer, call, say
from waystation.testing.service import Service


@pytest.fixture(scope="module")
def seen(asking_service: Service, _model_server: ModelServer) -> Any:
    """What the script saw: both halves of it, once for all tests."""
    model = _model_server
    model.reset()
    model.configure(delay=0.1)
    model.script(say("The tide comes in."), match="js streams")
    model.script(say("The tide goes out."), match="js waits")
    model.script(say("To the first one."), match="hook first")
    model.script(say("To the second one."), match="hook second")
    model.script(call("calculator_add", {"a": 5, "b": 3}), say("It is eight."), match="hook tool")
    model.script(say("To the edited one."), say("Once more."), match="hook edited")
    return node("langgraph.mjs", "@langchain/langgraph-sdk", f"{asking_service.url}/langgraph")


def test_the_client_streams_joins_waits_and_looks_back(seen: Any) -> None:
    plain = seen["plain"]
    assert plain["events"] == ["metadata", "values", "custom", "messages", "updates", "end"]
    assert plain["said"] == "The tide comes in."
    assert set(plain["made"]) == {"run_id", "thread_id"}
    assert plain["joined"] == ["metadata", "values", "updates", "values", "end"]
    assert plain["rest"] == ["values", "end"]
    assert plain["waited"] == ["js streams", "The tide comes in.", "js waits", "The tide goes out."]
    assert plain["older"]
    assert plain["found"] == [True]
    assert plain["refused"] == 404


def test_the_hook_shows_an_answer_as_it_comes_and_once(seen: Any) -> None:
    hook = seen["hook"]
    assert hook["first"] == ["human:hook first", "ai:To the first one."]
    assert hook["growing"]
    assert not hook["doubled"]
    assert hook["second"] == [*hook["first"], "human:hook second", "ai:To the second one."]
    assert hook["error"] is None


def test_the_hook_shows_a_question_and_goes_on_with_the_answer(seen: Any) -> None:
    hook = seen["hook"]
    assert hook["question"]["kind"] == "approval"
    assert hook["question"]["call"]["tool"] == "add"
    assert hook["waiting"][-1] == "human:hook tool"
    assert hook["answered"][-1] == "ai:It is eight."
    assert hook["types"][-4:] == ["human", "ai", "tool", "ai"]


def test_the_hook_edits_the_first_message_and_asks_again_on_branches_of_its_own(seen: Any) -> None:
    hook = seen["hook"]
    assert hook["branches"] <= 10
    assert hook["edited"] == ["human:hook edited", "ai:To the edited one."]
    assert hook["options"] == 2
    assert hook["regenerated"] == ["human:hook edited", "ai:Once more."]
    assert hook["ways"] == 2
    assert hook["back"] == hook["edited"]
