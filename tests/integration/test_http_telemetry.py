"""One request through the whole service, as a collector, the log and the caller see it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from core.observability import configure_logging
from graph import Agent
from tests.kit.http import client_of, served, turn
from tests.kit.otlp_server import OtlpServer
from waystation.testing.agents import context_at
from waystation.testing.model_server import ModelServer, call, say

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[OtlpServer]:
    with OtlpServer() as server:
        yield server


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
async def base(tmp_path: Path, collector: OtlpServer, model: ModelServer) -> AsyncIterator[str]:
    environ = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "sk-test-0123456789abcdef"}
    telemetry = {"otlp_endpoint": collector.url, "debug_events": True}
    context = context_at(tmp_path, environ=environ, telemetry=telemetry)
    async with Agent.open(context) as agent, served(agent) as base:
        yield base


@pytest.mark.always
async def test_a_turn_is_one_trace_that_continues_the_callers(
    base: str, collector: OtlpServer, model: ModelServer
) -> None:
    model.script(call("calculator_add", {"a": 5, "b": 3}), say("It is 8."))
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    async with client_of(base) as http:
        answer = await http.post("/agent/invoke", json=turn("add", thread_id="t1"), headers=headers)
    assert answer.json()["output"]["answer"] == "It is 8."
    whole = collector.wait_for_span("invoke_agent waystation")
    assert (whole.trace_id, whole.parent_id) == (TRACE, CALLER)
    assert whole.attributes["gen_ai.conversation.id"] == "t1"
    names = {span.name for span in collector.spans if span.trace_id == TRACE}
    wanted = {"node lookup_config", "node retrieve", "node call_model", "node execute_tools"}
    assert wanted | {"execute_tool add"} <= names
    assert any(name.startswith("chat ") for name in names)
    assert any(name.startswith("retrieval") for name in names)
    assert "add" not in json.dumps(
        [span.attributes for span in collector.spans if span.name == "node retrieve"]
    )


async def test_the_callers_request_id_comes_back_and_stands_in_every_line_of_the_turn(
    base: str, model: ModelServer, capfd: pytest.CaptureFixture[str]
) -> None:
    model.script(say("Hello"))
    configure_logging(level="debug")
    async with client_of(base) as http:
        answer = await http.post(
            "/agent/invoke", json=turn("hi", thread_id="t2"), headers={"X-Request-ID": "mine-42"}
        )
    assert answer.headers["x-request-id"] == "mine-42"
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    mine = [line for line in lines if line.get("request_id") == "mine-42"]
    ended = next(line for line in mine if line["event"] == "turn_ended")
    assert ended["thread_id"] == "t2"
    assert ended["run_id"].startswith("r_")
    assert "sk-test-0123456789abcdef" not in json.dumps(lines)


async def test_a_caller_without_a_request_id_gets_one(base: str) -> None:
    async with client_of(base) as http:
        first = (await http.get("/health/live")).headers["x-request-id"]
        second = (await http.get("/health/live", headers={"X-Request-ID": "bad id!"})).headers["x-request-id"]
    assert len(first) == len(second) == 32
    assert first != second
