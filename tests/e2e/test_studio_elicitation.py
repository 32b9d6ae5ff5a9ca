"""Under `langgraph dev` a tool that asks pauses the run with the same question as in our service."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kit.studio import studio
from waystation.testing.mcp_servers import PEER
from waystation.testing.model_server import ModelServer, call, say


def configured(folder: Path) -> dict[str, str]:
    config = folder / "config"
    config.mkdir()
    server = {"command": [sys.executable, "-P", str(PEER)]}
    (config / "mcp.json").write_text(json.dumps({"hotels": server}))
    return {"WAYSTATION_CONFIG_DIR": str(config), "WAYSTATION_MCP__BUNDLED": "false"}


@pytest.mark.timeout(180)
def test_a_question_is_shown_and_its_answer_goes_to_the_tool(tmp_path: Path) -> None:
    with ModelServer() as model:
        model.script(call("hotels_book", {"place": "Rome"}), say("All done."))
        endpoint = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "test"}
        with studio(tmp_path, env={**configured(tmp_path), **endpoint}) as client:

            def post(path: str, body: dict[str, Any]) -> Any:
                return client.post(path, json=body).raise_for_status().json()

            (assistant,) = post("/assistants/search", {})
            thread = post("/threads", {})["thread_id"]
            begin = {"input": {"messages": [{"role": "user", "content": "Book a room"}]}}
            post(f"/threads/{thread}/runs/wait", {"assistant_id": assistant["assistant_id"], **begin})
            (task,) = client.get(f"/threads/{thread}/state").raise_for_status().json()["tasks"]
            (question,) = task["interrupts"]
            assert question["value"]["kind"] == "elicitation"
            assert question["value"]["detail"] == "How many nights in Rome?"
            assert question["value"]["schema"]["required"] == ["nights"]
            answer = {"action": "accept", "content": {"nights": 3}}
            resume = {"command": {"resume": {question["id"]: answer}}}
            values = post(
                f"/threads/{thread}/runs/wait", {"assistant_id": assistant["assistant_id"], **resume}
            )
    assert [message["content"] for message in values["messages"][-2:]] == ["Rome: 3 nights", "All done."]
