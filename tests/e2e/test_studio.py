"""`langgraph dev` on the same graph: assistants, graph, schemas, threads, runs, state, interrupts' shape."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.service import ROOT, free_port

START_SECONDS = 90.0


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder, port = tmp_path_factory.mktemp("studio"), free_port()
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "WAYSTATION_", "LANG"))},
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "LANGGRAPH_NO_VERSION_CHECK": "1",
        "LANGSMITH_TRACING": "false",
        "WAYSTATION_HOME": str(folder / "home"),
        "WAYSTATION_CONFIG_DIR": str(ROOT / "config"),
    }
    command = [
        str(Path(sys.executable).parent / "langgraph"),
        "dev",
        "--config",
        str(ROOT / "langgraph.json"),
    ]
    options = ["--no-browser", "--no-reload", "--allow-blocking", "--port", str(port)]
    log = folder / "studio.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*command, *options], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
        )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        try:
            _wait(client, process, log)
            yield client
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/ok").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"langgraph dev did not start:\n{log.read_text()[-4000:]}")


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
