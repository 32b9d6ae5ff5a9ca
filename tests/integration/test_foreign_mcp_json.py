"""T4.3, G7: a real service with a file of another program, and with a plugin that nobody has allowed."""

from __future__ import annotations

import json
from pathlib import Path

from tests.kit.http import client_of, served
from waystation.testing.agents import open_agent

FOREIGN = """{
  // as an editor keeps it
  "inputs": [{"type": "promptString", "id": "key", "description": "k"}],
  "servers": {
    "gone": {"type": "stdio", "command": "x", "env": {"KEY": "${input:key}"}},
    "odd": {"type": "websocket", "url": "ws://127.0.0.1:1"},
    "adder": {"command": "python", "args": [%s], "disabled": false, "autoApprove": ["add"], "colour": "red",
              "env": {"PORT": 1}, "timeout": 60000,},
  },
}"""


async def test_t4_3_a_file_of_another_program_stops_nothing(tmp_path: Path) -> None:
    server = Path(__file__).parents[2] / "tools" / "calculator" / "server.py"
    files = {"mcp.json": FOREIGN % json.dumps(str(server))}
    async with (
        open_agent(tmp_path, files=files) as agent,
        served(agent) as base,
        client_of(base) as http,
    ):
        reply = await agent.ask("What is 5 + 3?", thread="t1", user="ada")
        assert reply["answer"] == "5 + 3 = 8"
        servers = {entry["name"]: entry for entry in (await http.get("/servers")).json()}
        assert servers["gone"]["reason"] == "the input 'key' has no value: set MCP_INPUT_KEY"
        assert servers["odd"]["state"] == "left out"
        assert "adder" in servers
        health = (await http.get("/health")).json()["modules"]["mcp_tools"]
        assert health["state"] == "degraded"
        assert "server 'odd' is left out: WebSocket" in health["reason"]
        assert any("colour" in remark for remark in health["details"]["remarks"]["adder"])
