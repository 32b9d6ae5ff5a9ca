"""LangChain's JavaScript `RemoteRunnable` against a real service: every event arrives whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from graph.runs.events import VOCABULARY
from tests.kit.clients import node, service_on
from waystation.testing.model_server import ModelServer, call, refuse, say
from waystation.testing.service import Service

# The package's last release that has a RemoteRunnable, beside the one that others need.
PACKAGE = "@langchain/core-with-remote"
APPROVAL = '{"calculator": {"require_approval": ["subtract"]}}'


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory, _model_server: ModelServer) -> Iterator[Service]:
    """A service whose subtraction needs a person's word."""
    folder = tmp_path_factory.mktemp("langserve")
    with service_on(folder, _model_server.url, files={"mcp.json": APPROVAL}) as service:
        yield service


@pytest.fixture(scope="module")
def found(asking: Service, _model_server: ModelServer) -> Any:
    """What the script tells, once for all tests."""
    add = call("calculator_add", {"a": 5, "b": 3})
    _model_server.script(add, say("It is 8."), match="tools")
    _model_server.script(add, say("Again 8."), match="tools again")
    _model_server.script(call("calculator_subtract", {"a": 5, "b": 3}), match="ask first")
    _model_server.script(say("Whole."), say("Whole."), say("Whole."), match="whole")
    _model_server.script(refuse(401), match="broken")
    return node("langserve.mjs", PACKAGE, asking.url)


def test_javascript_gets_tokens_tool_results_and_questions_whole(found: Any) -> None:
    stream = found["stream"]
    # A token that was taken for a prompt would have lost its type.
    assert [event for event in stream if not VOCABULARY[event["type"]] <= event.keys()] == []
    assert "".join(e["delta"] for e in stream if e["type"] == "token") == stream[-1]["answer"] == "It is 8."
    (result,) = (e for e in stream if e["type"] == "tool_result")
    assert (result["status"], "8" in result["content"]) == ("ok", True)
    (question,) = (e for e in found["paused"] if e["type"] == "interrupt")
    assert question["detail"].startswith("May calculator run 'subtract'?")
    assert found["paused"][-1]["interrupts"][0]["call"]["arguments"] == {"a": 5, "b": 3}
    assert (found["invoked"]["answer"], found["invoked"]["thread_id"]) == ("Whole.", "js-invoke")


def test_javascript_gets_what_went_wrong_with_one_turn_of_a_batch_beside_the_other(found: Any) -> None:
    whole, broken = found["batch"]
    assert (whole["status"], whole["answer"]) == ("done", "Whole.")
    assert (broken["status"], broken["error"]["code"]) == ("failed", "model_refused")
    assert broken["thread_id"] == "js-batch-2"


def test_javascript_filters_for_the_models_words_and_for_tools(found: Any) -> None:
    told = found["events"]
    said = "".join(e["text"] for e in told if e["event"] == "on_chat_model_stream")
    assert said == "Again 8."
    (begun,) = (e for e in told if e["event"] == "on_tool_start")
    (ended,) = (e for e in told if e["event"] == "on_tool_end")
    assert (begun["name"], begun["input"]) == ("add", {"a": 5, "b": 3})
    assert "8" in ended["text"]
    assert found["filtered"] == ["on_chat_model_start", "on_chat_model_stream", "on_chat_model_end"]
