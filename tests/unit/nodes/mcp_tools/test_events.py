"""Each call is told to the bus and to the trace, whatever became of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.access import Principal
from core.observability import start_telemetry
from core.settings.platform import TelemetrySettings
from nodes.mcp_tools.events import ToolExecuted
from nodes.mcp_tools.executor import Target
from nodes.mcp_tools.fake import FakeConnector
from nodes.mcp_tools.models import ExecutionContext
from nodes.mcp_tools.settings import ServerEntry
from tests.kit.otlp_server import OtlpServer
from tests.unit.nodes.mcp_tools.fakes import ADA, Desk, desk, server


@pytest.fixture
async def at() -> AsyncIterator[Desk]:
    entries = {
        "peer": ServerEntry(timeout_s=0.2),
        "slow": ServerEntry(),
        "high": ServerEntry(compliance_level="internal"),
    }
    async with desk(FakeConnector({name: server() for name in entries}), entries) as at:
        yield at


def executed(at: Desk) -> list[tuple[str, str, str]]:
    return [(e.server, e.tool, e.status) for e in at.events if isinstance(e, ToolExecuted)]


async def test_every_end_of_a_call_is_told(at: Desk) -> None:
    await at.run("peer_echo", text="x")
    await at.run("peer_fail")
    await at.run("peer_hang")
    assert executed(at) == [("peer", "echo", "ok"), ("peer", "fail", "error"), ("peer", "hang", "timeout")]


async def test_a_refused_call_is_told_and_a_name_that_was_made_up_is_not(at: Desk) -> None:
    target = await at.executor.find("peer_echo", ADA)
    outcome = at.executor.refuse({"args": {"text": "x"}}, ADA, target, "too risky")
    assert (outcome.status, outcome.text, outcome.call_id) == ("denied", "denied: too risky", "c1")
    assert at.executor.refuse({}, ADA, Target("peer", "echo", None), "").text == "denied by the user"
    await at.run("my_secret_wish")
    assert executed(at) == [("peer", "echo", "denied"), ("peer", "", "denied"), ("", "", "error")]


async def test_a_call_whose_caller_left_is_told_as_cancelled(at: Desk) -> None:
    await at.run("slow_echo")
    task = asyncio.create_task(at.run("slow_hang"))
    await asyncio.wait({task}, timeout=0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert executed(at)[-1] == ("slow", "hang", "cancelled")


async def test_a_server_above_the_callers_level_is_neither_listed_nor_called(at: Desk) -> None:
    assert await at.manager.schemas(ADA.principal, ["high"]) == []
    assert "there is no tool 'high_echo'" in (await at.run("high_echo", text="x")).text
    cleared = ExecutionContext(Principal("eve", levels=frozenset({"internal"})), call_id="c1")
    assert len(await at.manager.schemas(cleared.principal, ["high"])) == 3
    assert (await at.run("high_echo", cleared, text="x")).status == "ok"


async def test_a_call_is_a_span_with_its_server_and_id(at: Desk) -> None:
    with OtlpServer() as collector:
        telemetry = start_telemetry(TelemetrySettings(otlp_endpoint=collector.url, metrics=False))
        await at.run("peer_echo", text="x")
        await at.run("peer_fail")
        await at.run("peer_hang")
        telemetry.stop(seconds=10)
        spans = {span.name: span for span in collector.spans}
    good = spans["execute_tool echo"]
    assert (good.attributes["waystation.server"], good.attributes["gen_ai.tool.call.id"]) == ("peer", "c1")
    assert not good.failed
    assert spans["execute_tool fail"].attributes["error.type"] == "tool_error"
    assert spans["execute_tool hang"].attributes["error.type"] == "tool_timed_out"
