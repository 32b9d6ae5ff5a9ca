"""Errors in the form of each protocol's path."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from core.errors import WaystationError
from graph.errors import Draining, ThreadBusy, ThreadWaiting
from nodes.llm.errors import ModelNotFound, ModelRefused
from server.errors import UnsupportedParameter, problem, problem_response
from server.protocols.refusals import form_at, openai_body


def told(error: WaystationError, path: str) -> tuple[Any, Any]:
    answer = problem_response(error, instance=path)
    return orjson.loads(bytes(answer.body)), answer.headers


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1x/models", "/threads/v1/x", "/agent/invoke"])
def test_our_own_paths_have_problem_documents(path: str) -> None:
    body, headers = told(ModelNotFound("no model 'x'"), path)
    assert body["code"] == "model_not_found"
    assert headers["content-type"] == "application/problem+json"
    assert "x-should-retry" not in headers


def test_openai_s_paths_have_its_form() -> None:
    body, headers = told(ModelNotFound("no model 'x'"), "/v1/models/x")
    assert body == {
        "error": {
            "message": "no model 'x'",
            "type": "invalid_request_error",
            "param": None,
            "code": "model_not_found",
        }
    }
    assert headers["content-type"] == "application/json"


def test_the_wire_of_langgraph_has_a_detail() -> None:
    body, _ = told(ThreadBusy("busy"), "/langgraph/threads/t")
    assert body == {"detail": "busy", "code": "thread_busy"}


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ThreadBusy("x"), True),
        (Draining("x"), True),
        (ThreadWaiting("x"), False),
        (ModelRefused("x"), False),
    ],
)
def test_sdks_try_again_only_what_may_end_better(error: WaystationError, *, again: bool) -> None:
    _, headers = told(error, "/v1/chat/completions")
    assert (headers.get("x-should-retry") != "false") == again


def test_a_field_that_is_not_done_is_named() -> None:
    error = UnsupportedParameter("tools", "the service runs its own")
    found = problem(error, errors=[{"field": error.field, "message": error.detail}])
    assert openai_body(found)["error"]["param"] == "tools"
    assert form_at("/v1/responses").body(found) == openai_body(found)
