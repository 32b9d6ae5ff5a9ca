"""The command line and the module as the registry sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from core.container import open_module
from core.health import HealthState
from core.settings import Context, Places
from nodes.mcp_tools.cli import app
from nodes.mcp_tools.executor import ToolExecutor
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.models import ServerState
from nodes.mcp_tools.module import MODULE
from waystation.testing.mcp_servers import peer, until


def entry(mode: str = "normal") -> dict[str, Any]:
    made = peer(mode)
    return {"command": [made.command, *made.args], "description": "A test server."}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    found = Places(tmp_path / "config", tmp_path / "home")
    found.config_dir.mkdir()
    (found.config_dir / "mcp.json").write_text(json.dumps({"peer": entry(), "bad": entry("exit")}))
    (found.config_dir / "waystation.yaml").write_text("mcp: {bundled: false, start_timeout_s: 60}\n")
    broken = found.home / "plugins" / "broken"
    broken.mkdir(parents=True)
    (broken / "plugin.json").write_text("{")
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", str(found.config_dir))
    return found


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def printed(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.usefixtures("places")
class TestCommands:
    def test_servers_are_listed_with_their_state(self) -> None:
        servers = {server["name"]: server for server in printed("list-servers")}
        assert (servers["peer"]["state"], servers["peer"]["enabled"]) == ("up", True)
        assert servers["bad"]["state"] == "down"
        assert "exited with code 3" in servers["bad"]["last_error"]
        assert "A test server." in run("list-servers").stdout

    def test_tools_are_listed_for_all_or_one(self) -> None:
        tools = printed("list-tools", "--server", "peer")
        assert {"name": "peer_echo", "server": "peer", "tool": "echo"}.items() <= tools[0].items()
        assert printed("list-tools") == tools
        assert "peer_echo" in run("list-tools").stdout

    def test_a_server_that_is_down_cannot_list_its_tools(self) -> None:
        result = run("list-tools", "--server", "bad")
        assert result.exit_code == 1
        assert result.stderr.startswith("tool_server_down: the tool server 'bad' is down")

    def test_a_tool_is_called(self) -> None:
        assert run("call-tool", "peer", "echo", '{"text": "hi"}').stdout == "hi\n"
        answer = printed("call-tool", "peer", "v2")
        assert answer["files"] == [{"name": "total.csv", "media_type": "text/csv", "size": 9}]

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (("peer", "fail"), "tool_failed: peer fail: that went wrong"),
            (("peer", "nope"), "unknown_tool_of_server: the server 'peer' has no tool 'nope'; tools: echo"),
            (("nope", "echo"), "unknown_server: the tool server 'nope' is not known; servers: peer, bad"),
            (("broken", "echo"), "unknown_server: the tool server 'broken' is left out (plugin.json"),
            (("peer", "echo", "{"), "invalid_input: the arguments are not JSON"),
            (("peer", "echo", "[1]"), "invalid_input: the arguments must be a JSON object"),
        ],
    )
    def test_a_refusal_is_one_line_and_exit_1(self, arguments: tuple[str, ...], complaint: str) -> None:
        result = run("call-tool", *arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith(complaint)

    def test_plugins_show_also_broken_ones(self) -> None:
        (plugin,) = printed("plugins")
        assert (plugin["name"], plugin["origin"]) == ("broken", "home")
        assert "is not valid JSON" in plugin["problem"]
        assert "broken" in run("plugins").stdout

    def test_restart_says_that_it_is_another_process(self) -> None:
        assert printed("restart", "peer")["state"] == "up"
        assert "a running service keeps its own session" in run("restart", "peer").stdout


async def test_the_module_starts_its_servers_and_reports_their_health(places: Places) -> None:
    container = open_module(MODULE, Context(places, {}, {}))
    try:
        await MODULE.open(container)
        manager = await container.get(MCPToolManager)
        await manager.tools("peer")
        await until(lambda: manager.status()["bad"].state is ServerState.DOWN)
        health = await MODULE.health(container)
        assert health.state is HealthState.DEGRADED
        assert "plugin 'broken' is broken" in health.reason
        assert health.details["servers"]["peer"]["state"] == "up"
        assert isinstance(await container.get(ToolExecutor), ToolExecutor)
    finally:
        await container.close()


async def test_no_server_is_healthy(tmp_path: Path) -> None:
    context = Context(Places(tmp_path, tmp_path), {}, {"mcp": {"bundled": False}})
    container = open_module(MODULE, context)
    assert (await MODULE.health(container)).state is HealthState.HEALTHY
    await container.close()
