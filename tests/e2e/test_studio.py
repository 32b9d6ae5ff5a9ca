"""`langgraph dev` on the same graph: assistants, graph, schemas, threads, runs, state, interrupts' shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.kit import studio as kit


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with kit.studio(tmp_path_factory.mktemp("studio")) as client:
        yield client


def post(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    return client.post(path, json=body).raise_for_status().json()


@pytest.fixture(scope="module")
def assistant(studio: httpx.Client) -> str:
    (found,) = post(studio, "/assistants/search", {})
    assert found["graph_id"] == "waystation"
    return str(found["assistant_id"])


def test_the_graph_and_its_schemas_are_shown(studio: httpx.Client, assistant: str) -> None:
    graph = studio.get(f"/assistants/{assistant}/graph").raise_for_status().json()
    names = {node["id"] for node in graph["nodes"]}
    assert names >= {"lookup_config", "retrieve", "call_model", "execute_tools", "store_files"}
    schemas = studio.get(f"/assistants/{assistant}/schemas").raise_for_status().json()
    assert {"user", "model", "tools", "sources", "approval"} <= schemas["context_schema"]["properties"].keys()
    assert "messages" in schemas["input_schema"]["properties"]


def test_a_turn_runs_and_its_state_and_history_can_be_read(studio: httpx.Client, assistant: str) -> None:
    thread = post(studio, "/threads", {})["thread_id"]
    question = {"messages": [{"role": "user", "content": "What is 5 + 3?"}]}
    context = {"user": "ada", "tools": ["calculator"]}
    run = {"assistant_id": assistant, "input": question, "context": context}
    values = post(studio, f"/threads/{thread}/runs/wait", run)
    assert "8" in values["messages"][-1]["content"]
    state = studio.get(f"/threads/{thread}/state").raise_for_status().json()
    assert state["next"] == []
    assert len(state["values"]["messages"]) == 4
    history = post(studio, f"/threads/{thread}/history", {"limit": 10})
    assert len(history) > 4


def test_the_steps_stream_what_they_tell(studio: httpx.Client, assistant: str) -> None:
    thread = post(studio, "/threads", {})["thread_id"]
    run = {
        "assistant_id": assistant,
        "input": {"messages": [{"role": "user", "content": "What is 7 * 6?"}]},
        "stream_mode": ["custom"],
    }
    with studio.stream("POST", f"/threads/{thread}/runs/stream", json=run) as answer:
        text = answer.read().decode()
    assert '"type":"tool_result"' in text.replace(" ", "")
    assert "42" in text
