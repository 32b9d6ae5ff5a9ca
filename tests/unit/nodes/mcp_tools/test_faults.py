"""Calls under the platform's policy: what counts, what is tried again, who is held up, and what is told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from core.health import HealthState
from core.resilience import BreakerClosed, BreakerOpened
from nodes.mcp_tools.errors import ToolRefused
from nodes.mcp_tools.events import ServerDown, ServerUp
from nodes.mcp_tools.fake import FakeConnector
from nodes.mcp_tools.models import Progress, ServerState, ToolInfo, ToolList
from nodes.mcp_tools.settings import ServerEntry
from tests.unit.nodes.mcp_tools.fakes import OddConnector, desk, hang, server
from waystation.testing.mcp_servers import until

QUICK = ServerEntry(timeout_s=0.05)


async def test_a_tool_that_answers_with_errors_never_opens_the_breaker() -> None:
    async with desk(FakeConnector({"peer": server()}), {"peer": ServerEntry()}) as at:
        for _ in range(20):
            assert (await at.run("peer_fail")).status == "error"
            assert (await at.run("peer_echo", text={})).status == "ok"
        assert at.breaker("peer") == "closed"


async def test_calls_that_time_out_open_it_and_the_next_is_refused_at_once() -> None:
    async with desk(FakeConnector({"peer": server()}), {"peer": QUICK}) as at:
        for _ in range(5):
            assert (await at.run("peer_hang")).status == "timeout"
        outcome = await at.run("peer_echo")
        assert outcome.status == "error"
        assert "'peer' failed too often (5 of 5 calls failed, the last with tool_timed_out)" in outcome.text
        assert (await at.manager.check()).state is HealthState.DEGRADED


async def test_a_server_that_came_up_again_is_tried_at_once() -> None:
    peer = server()
    long = {"server": {"open_s": 3600}}
    async with desk(FakeConnector({"peer": peer}), {"peer": QUICK}, resilience=long) as at:
        for _ in range(5):
            await at.run("peer_hang")
        assert at.breaker("peer") == "open"
        await at.manager.restart("peer")
        assert at.breaker("peer") == "open"
        assert (await at.run("peer_echo", text="back")).text == "back"
        assert at.breaker("peer") == "closed"
        assert [e.what for e in at.events if isinstance(e, BreakerOpened | BreakerClosed)] == [
            "BreakerOpened",
            "BreakerClosed",
        ]


async def test_a_call_that_may_have_arrived_is_not_made_again() -> None:
    peer, calls = server(), 0

    async def die(_: Mapping[str, Any], __: Progress) -> str:
        nonlocal calls
        calls += 1
        peer.break_down()
        return str(await asyncio.Event().wait())

    peer.add(ToolInfo("die"), die)
    async with desk(FakeConnector({"peer": peer}), {"peer": ServerEntry()}) as at:
        assert (await at.run("peer_die")).status == "unknown"
        assert calls == 1


async def test_callers_of_a_full_server_hold_up_nobody_else() -> None:
    full = {"targets": {"server:peer": {"at_once": 1, "queue": 0}}}
    both = {"peer": ServerEntry(), "other": ServerEntry()}
    peer, begun = server(), asyncio.Event()

    async def stay(_: Mapping[str, Any], __: Progress) -> str:
        begun.set()
        return str(await asyncio.Event().wait())

    peer.add(ToolInfo("stay"), stay)
    async with desk(FakeConnector({"peer": peer, "other": server()}), both, resilience=full) as at:
        hung = asyncio.create_task(at.run("peer_stay"))
        await begun.wait()
        assert "has too many calls going" in (await at.run("peer_echo")).text
        assert (await at.run("other_echo", text="on")).text == "on"
        hung.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hung


async def test_a_target_of_its_own_may_have_another_time_limit() -> None:
    targets = {"server": {"timeout_s": 7}, "targets": {"server:mine": {"timeout_s": 3}}}
    entries = {"mine": ServerEntry(timeout_s=5), "entry": ServerEntry(timeout_s=5), "plain": ServerEntry()}
    connector = FakeConnector({name: server() for name in entries})
    async with desk(connector, entries, resilience=targets) as at:
        assert [at.manager.limits(name).call_s for name in entries] == [3, 5, 7]
    async with desk(connector, entries, resilience=targets, call_timeout_s=6) as at:
        assert [at.manager.limits(name).call_s for name in entries] == [3, 5, 6]


async def test_going_and_coming_is_told_once_each() -> None:
    peer = server()
    async with desk(FakeConnector({"peer": peer}), {"peer": ServerEntry()}) as at:
        await at.manager.tools("peer")
        assert at.events == [ServerUp(server="peer", at=at.events[0].at)]
        peer.broken = "it is ill"
        starts = peer.starts
        peer.break_down("it fell")
        await until(lambda: peer.starts > starts + 1)
        peer.broken = ""
        await until(lambda: at.manager.status()["peer"].state is ServerState.UP)
        assert at.told() == ["ServerUp", "ServerDown", "ServerUp"]
        (down,) = [event for event in at.events if isinstance(event, ServerDown)]
        assert (down.server, down.reason) == ("peer", "it fell")
    assert at.told() == ["ServerUp", "ServerDown", "ServerUp"]


async def test_a_server_that_never_came_up_is_told_too_and_health_says_since_when() -> None:
    peer = server()
    peer.broken = "it is ill"
    never = ServerEntry(restart="never")
    async with desk(FakeConnector({"peer": peer}), {"peer": never}) as at:
        await at.manager.start()
        await until(lambda: at.manager.status()["peer"].state is ServerState.DOWN)
        assert at.told() == ["ServerDown"]
        health = await at.manager.check()
        assert health.reason.startswith("server 'peer' is down: ")
        assert health.since == at.manager.status()["peer"].since
        assert health.details["servers"]["peer"]["breaker"] == "closed"


async def _never() -> ToolList:
    await asyncio.Event().wait()
    return ToolList()


async def test_a_server_that_does_not_list_its_tools_any_more_is_replaced() -> None:
    peer = server()
    connector = OddConnector({"peer": peer})
    async with desk(connector, {"peer": ServerEntry()}, start_timeout_s=0.2) as at:
        await at.manager.tools("peer")
        connector.again = _never
        peer.add(ToolInfo("fresh"), hang)
        await until(lambda: "ServerDown" in at.told())
        connector.again = None
        await until(lambda: "peer_fresh" in at.manager.tool_names("peer"))
        assert peer.starts == 2


async def test_a_server_that_is_busy_with_a_call_may_be_late_with_its_list() -> None:
    peer = server()
    connector = OddConnector({"peer": peer})
    asked = asyncio.Event()

    async def never() -> ToolList:
        asked.set()
        await asyncio.Event().wait()
        return ToolList()

    async with desk(connector, {"peer": ServerEntry()}, start_timeout_s=0.05) as at:
        await at.run("peer_echo")
        call = asyncio.create_task(at.run("peer_hang"))
        await asyncio.wait({call}, timeout=0.05)
        connector.again = never
        for _ in range(2):  # asked a second time, it has outlived the first
            asked.clear()
            peer.add(ToolInfo("fresh"), hang)
            await asked.wait()
        assert at.told() == ["ServerUp", "ToolExecuted"]
        call.cancel()


async def test_a_server_that_refuses_to_list_again_keeps_its_session_and_its_list() -> None:
    peer = server()
    connector = OddConnector({"peer": peer})
    asked = asyncio.Event()

    async def refuse() -> ToolList:
        asked.set()
        raise ToolRefused("not now")

    async with desk(connector, {"peer": ServerEntry()}) as at:
        await at.manager.tools("peer")
        connector.again = refuse
        peer.add(ToolInfo("fresh"), hang)
        await asked.wait()
        assert (await at.run("peer_echo", text="still")).text == "still"
        assert at.manager.status()["peer"].restarts == 0
