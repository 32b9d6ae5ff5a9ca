"""kill -9 in mid-turn: the question is still there, the thread answers, nothing stands twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.model_server import ModelServer, Script, call, hang, say
from tests.kit.service import Service


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


def body(message: str) -> dict[str, Any]:
    return {"input": {"message": message}, "config": {"configurable": {"thread_id": "t1"}}}


def invoke(url: str, message: str) -> dict[str, Any]:
    answer = httpx.post(f"{url}/agent/invoke", json=body(message), timeout=60)
    reply: dict[str, Any] = answer.raise_for_status().json()["output"]
    return reply


@pytest.mark.parametrize(
    "scripts",
    [
        pytest.param([hang()], id="while the model thinks"),
        pytest.param([say("one two three", hang_after=2)], id="while the model speaks"),
        pytest.param([call("calculator_add", {"a": 1, "b": 2}), hang()], id="after a tool"),
    ],
)
def test_a_killed_service_answers_the_next_message_and_lost_none(
    model: ModelServer, tmp_path: Path, scripts: list[Script]
) -> None:
    model.reset()
    env = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "test"}
    service = Service(tmp_path / "home", env=env)
    service.start()
    try:
        invoke(service.url, "first")
        model.reset()
        model.script(*scripts)
        with httpx.stream("POST", f"{service.url}/agent/stream", json=body("second"), timeout=60) as answer:
            lines = answer.iter_lines()  # kept: a dropped reader would cancel the turn
            assert "run_started" in next(line for line in lines if line.startswith("data:"))
            model.wait_for_requests(len(scripts))
            service.kill()
        model.reset()
        service.start()
        reply = invoke(service.url, "third")
        assert reply["status"] == "done"
        page = httpx.get(f"{service.url}/threads/t1/transcript").raise_for_status().json()
        assert [m["text"] for m in page["messages"] if m["role"] == "user"] == ["first", "second", "third"]
        state = httpx.get(f"{service.url}/threads/t1/state").raise_for_status().json()
        assert [m["text"] for m in state["messages"] if m["role"] == "user"] == ["first", "second", "third"]
        sent = [m["content"] for m in model.requests()[-1]["messages"] if m["role"] == "user"]
        assert sent == ["first", "second", "third"]
    finally:
        service.kill()
