"""Tool servers that fail: stopped, crashing at each call, or stopped at the far end of HTTP.

Each time the turn ends in time with the documented reply, other turns go on,
the health says what and since when, and all is well again without anybody's help.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from core.events import EventBus, Recorded, record
from core.health import HealthState
from core.resilience import BreakerClosed, BreakerOpened
from graph import Agent
from nodes.mcp_tools import MCPToolManager
from nodes.mcp_tools.events import ServerDown, ServerUp, ToolExecuted
from nodes.mcp_tools.models import ServerState
from waystation.testing.agents import open_agent, write_config
from waystation.testing.mcp_servers import PEER, free_port, http_peer, until
from waystation.testing.model_server import ModelServer, call, say

TIMEOUT_S = 1.5
START_S = 60.0
TURN_S = 25.0  # far more than a call may take on a busy machine, less than waiting for a start that fails
RECOVERY_S = 30.0
IN_A_ROW = 5  # failures that open a breaker, as the settings have it

PROCESS = {"command": [sys.executable, "-P", str(PEER)]}


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory, model: ModelServer) -> AsyncIterator[Agent]:
    """An agent with three tool servers that are going to fail, and a steady one."""
    folder = tmp_path_factory.mktemp("agent")
    with http_peer(port=free_port()) as (url, _):
        servers = {
            "stopped": {**PROCESS, "timeout_s": TIMEOUT_S},
            "crashing": PROCESS,
            "far": {"url": url, "timeout_s": TIMEOUT_S},
            "steady": PROCESS,
        }
        write_config(folder, sources=False, files={"mcp.json": json.dumps({"mcpServers": servers})})
        async with open_agent(
            folder, model_url=model.url, mcp={"bundled": False, "start_timeout_s": START_S}
        ) as agent:
            await agent.ask("the first turn loads libraries")
            yield agent


@pytest.fixture
async def manager(agent: Agent) -> MCPToolManager:
    return await agent.container.get(MCPToolManager)


@pytest.fixture
async def seen(agent: Agent) -> AsyncIterator[Recorded]:
    with record(await agent.container.get(EventBus)) as seen:
        yield seen


class Caller:
    """Has turns whose model calls a tool, then answers; holds each of them to its time."""

    def __init__(self, agent: Agent, model: ModelServer) -> None:
        self._agent = agent
        self._model = model

    async def __call__(self, tool: str, *, user: str = "ada", **args: Any) -> dict[str, Any]:
        """The tool's result in a turn."""
        question = f"{tool} {time.monotonic_ns()}"
        self._model.script(call(tool, args), say("That is all I know."), match=question)
        started = time.monotonic()
        events = [event async for event in self._agent.stream(question, user=user)]
        assert (events[-1]["type"], events[-1]["status"]) == ("done", "done")
        assert events[-1]["answer"] == "That is all I know."
        assert time.monotonic() - started < TURN_S
        (result,) = [event for event in events if event["type"] == "tool_result"]
        return result


@pytest.fixture
def turn(agent: Agent, model: ModelServer) -> Caller:
    return Caller(agent, model)


async def test_a_stopped_server_costs_its_callers_their_timeout_and_is_replaced(
    manager: MCPToolManager, seen: Recorded, turn: Caller, http: httpx.AsyncClient
) -> None:
    assert (await turn("stopped_echo", text="x"))["status"] == "ok"
    pid = manager.status()["stopped"].pid
    assert pid
    before = datetime.now(UTC)
    os.kill(pid, signal.SIGSTOP)

    hung = [asyncio.create_task(turn("stopped_echo", text="x")) for _ in range(IN_A_ROW)]
    other = await turn("steady_echo", user="bob", text="meanwhile")
    assert (other["status"], other["content"]) == ("ok", "meanwhile")
    for result in await asyncio.gather(*hung):
        assert (result["status"], result["content"]) == (
            "timeout",
            f"'echo' did not answer within {TIMEOUT_S} s",
        )
    (opened,) = await seen.wait_for(BreakerOpened)
    assert (opened.kind, opened.name) == ("server", "stopped")

    refused = await turn("stopped_echo", text="x")
    assert refused["status"] == "error"
    assert refused["content"].startswith("the tool server 'stopped' failed too often (")
    assert refused["duration_ms"] < TIMEOUT_S * 1000
    _says_degraded((await http.get("/health")).json(), since=before)

    # Nobody lets the old process go on: it does not answer, so another takes its place.
    await seen.wait_for(ServerUp, timeout=RECOVERY_S)
    assert (await turn("stopped_echo", text="back"))["content"] == "back"
    await seen.wait_for(BreakerClosed)
    assert (await manager.check()).state is HealthState.HEALTHY
    assert [event.reason for event in seen.of(ServerDown)] == ["it does not answer any more"]
    calls = [event.status for event in seen.of(ToolExecuted) if event.server == "stopped"]
    assert calls == ["ok", *["timeout"] * IN_A_ROW, "error", "ok"]


def _says_degraded(health: dict[str, Any], since: datetime) -> None:
    tools = health["modules"]["mcp_tools"]
    assert (health["status"], tools["state"]) == ("degraded", "degraded")
    assert "server 'stopped' is left alone: 5 of " in tools["reason"]
    assert since <= datetime.fromisoformat(tools["since"]) <= datetime.now(UTC)
    servers = tools["details"]["servers"]
    assert servers["stopped"]["breaker"] == "open"
    assert (servers["steady"]["state"], servers["steady"]["breaker"]) == ("up", "closed")


async def test_a_server_that_crashes_at_each_call_is_left_alone_until_it_is_up_again(
    manager: MCPToolManager, seen: Recorded, turn: Caller
) -> None:
    statuses = []
    while not seen.of(BreakerOpened):
        statuses.append((await turn("crashing_crash"))["status"])
        assert len(statuses) <= IN_A_ROW
    assert statuses[0] == "unknown"
    assert set(statuses) <= {"unknown", "error"}
    assert (await turn("steady_echo", user="bob", text="on"))["content"] == "on"

    # The fault ends: what is asked of it now does not bring it down.
    await until(lambda: manager.status()["crashing"].state is ServerState.UP, seconds=RECOVERY_S)
    assert (await turn("crashing_echo", text="back"))["content"] == "back"
    await seen.wait_for(BreakerClosed)
    assert (await manager.check()).state is HealthState.HEALTHY


async def test_a_server_that_is_stopped_at_the_far_end_is_used_again_when_it_goes_on(
    manager: MCPToolManager, seen: Recorded, turn: Caller
) -> None:
    pid = int((await turn("far_pid"))["content"])
    os.kill(pid, signal.SIGSTOP)
    try:
        assert (await turn("far_echo", text="x"))["status"] == "timeout"
        await seen.wait_for(ServerDown)
        assert (await turn("steady_echo", user="bob", text="on"))["content"] == "on"
        assert "server 'far' is restarting: it does not answer" in (await manager.check()).reason
    finally:
        os.kill(pid, signal.SIGCONT)
    await seen.wait_for(ServerUp, timeout=RECOVERY_S)
    assert (await turn("far_echo", text="back"))["content"] == "back"
    assert (await manager.check()).state is HealthState.HEALTHY
