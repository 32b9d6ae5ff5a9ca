"""Sessions with real processes: kept, restarted, timed, bounded, reaped."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.access import Principal
from nodes.mcp_tools.errors import (
    CallTimedOut,
    ResultTooLarge,
    ServerDown,
    ServerGone,
    ToolRefused,
    UnknownServer,
)
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.models import ServerState
from waystation.testing.mcp_servers import is_running, kill, managed, peer, text_of, until

pytestmark = pytest.mark.slow

ADA = Principal("ada")


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[MCPToolManager]:
    async with managed({"peer": peer(), "other": peer()}, tmp_path, call_timeout_s=30) as manager:
        yield manager


async def pid_of(manager: MCPToolManager, server: str = "peer") -> int:
    return int(text_of(await manager.call(server, "pid", {})))


async def test_two_calls_are_answered_by_the_same_process(manager: MCPToolManager) -> None:
    assert await pid_of(manager) == await pid_of(manager)
    assert manager.status()["peer"].restarts == 0


async def test_a_server_that_nobody_needs_is_not_started(manager: MCPToolManager) -> None:
    await manager.tools("peer")
    assert manager.status()["other"].state is ServerState.IDLE


async def test_start_returns_at_once_and_brings_every_server_up(manager: MCPToolManager) -> None:
    await manager.start()
    assert manager.status()["peer"].state is ServerState.STARTING
    assert await manager.ready(ADA) == ["peer", "other"]


async def test_a_killed_server_is_started_again_and_the_next_call_works(manager: MCPToolManager) -> None:
    before = await pid_of(manager)
    kill(before)
    await until(lambda: manager.status()["peer"].restarts == 1)
    assert await pid_of(manager) != before
    status = manager.status()["peer"]
    assert (status.state, status.restarts) == (ServerState.UP, 1)
    assert status.last_error == "its process was ended by signal 9"


async def test_a_crash_during_a_call_says_that_the_result_is_unknown(manager: MCPToolManager) -> None:
    with pytest.raises(ServerGone) as caught:
        await manager.call("peer", "crash", {})
    assert caught.value.sent
    assert text_of(await manager.call("peer", "echo", {"text": "again"})) == "again"


async def test_a_server_that_exits_at_once_leaves_the_others_working(tmp_path: Path) -> None:
    async with managed({"bad": peer("exit"), "good": peer()}, tmp_path) as manager:
        await manager.start()
        assert await manager.ready(ADA) == ["good"]
        with pytest.raises(ServerDown, match="'bad' is down: its process exited with code 3"):
            await manager.call("bad", "echo", {"text": "x"})
        assert text_of(await manager.call("good", "echo", {"text": "x"})) == "x"
        health = await manager.check()
        assert health.state == "degraded"
        assert "server 'bad' is down" in health.reason
        assert "I refuse" in (tmp_path / "logs" / "mcp-bad.log").read_text()


async def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    entry = peer().model_copy(update={"command": "/no/such/program"})
    async with managed({"bad": entry}, tmp_path) as manager:
        with pytest.raises(ServerDown, match="the command 'program' or its folder was not found"):
            await manager.tools("bad")


async def test_a_server_that_never_answers_is_down_after_its_start_time(tmp_path: Path) -> None:
    async with managed({"mute": peer("mute")}, tmp_path, start_timeout_s=0.5) as manager:
        with pytest.raises(ServerDown, match=r"did not start within 0\.5 s"):
            await manager.tools("mute")


async def test_a_hung_call_costs_only_its_own_time(tmp_path: Path) -> None:
    async with managed({"peer": peer(timeout_s=1)}, tmp_path) as manager:
        before = await pid_of(manager)
        hung = asyncio.create_task(manager.call("peer", "hang", {}))
        assert text_of(await manager.call("peer", "echo", {"text": "meanwhile"})) == "meanwhile"
        with pytest.raises(CallTimedOut, match="'hang' did not answer within 1 s"):
            await hung
        assert await pid_of(manager) == before


async def test_a_server_that_answers_nothing_any_more_is_replaced(tmp_path: Path) -> None:
    async with managed({"peer": peer(timeout_s=1)}, tmp_path) as manager:
        before = await pid_of(manager)
        with pytest.raises(CallTimedOut):
            await manager.call("peer", "freeze", {})
        await until(lambda: manager.status()["peer"].restarts == 1)
        assert await pid_of(manager) != before
        assert not is_running(before)


async def test_cancelling_a_caller_cancels_that_call_only(manager: MCPToolManager, tmp_path: Path) -> None:
    before = await pid_of(manager)
    flag = tmp_path / "go"
    kept = asyncio.create_task(manager.call("peer", "wait", {"path": str(flag)}))
    dropped = asyncio.create_task(manager.call("peer", "wait", {"path": str(tmp_path / "never")}))
    await asyncio.wait({dropped}, timeout=0.2)
    dropped.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dropped
    flag.touch()
    assert text_of(await kept) == "woken"
    assert await pid_of(manager) == before
    assert len(json.loads(text_of(await manager.call("peer", "cancelled", {})))) == 1


async def test_a_flood_on_stderr_stays_in_a_bounded_file(manager: MCPToolManager, tmp_path: Path) -> None:
    assert text_of(await manager.call("peer", "flood", {"bytes": 5_000_000})) == "flooded"
    sizes = [path.stat().st_size for path in (tmp_path / "logs").glob("mcp-peer.log*")]
    assert 1 <= len(sizes) <= 2
    assert max(sizes) <= 1_048_576


async def test_a_result_over_the_reading_limit_is_refused_and_the_session_stays(tmp_path: Path) -> None:
    async with managed({"peer": peer(max_result_bytes=1024)}, tmp_path) as manager:
        before = await pid_of(manager)
        with pytest.raises(ResultTooLarge, match="the result has 3000"):
            await manager.call("peer", "big", {"bytes": 3_000_000})
        assert await pid_of(manager) == before


async def test_progress_reaches_its_own_call(manager: MCPToolManager) -> None:
    seen: list[tuple[float, float | None, str]] = []
    await manager.call("peer", "progress", {"steps": 3}, progress=lambda *step: seen.append(step))
    assert seen == [(1, 3, "step 1"), (2, 3, "step 2"), (3, 3, "step 3")]


@pytest.mark.parametrize(("tool", "given"), [("progress", {"steps": 2}), ("log_progress", {})])
async def test_a_fault_of_whoever_watches_a_call_costs_neither_it_nor_the_session(
    manager: MCPToolManager, tool: str, given: dict[str, int]
) -> None:
    def watch(*_: object) -> None:
        raise RuntimeError("nobody hears this")

    before = await pid_of(manager)
    assert not (await manager.call("peer", tool, given, progress=watch)).is_error
    assert await pid_of(manager) == before


async def test_a_log_line_with_an_update_is_progress(manager: MCPToolManager) -> None:
    seen: list[tuple[float, float | None, str]] = []
    await manager.call("peer", "log_progress", {}, progress=lambda *step: seen.append(step))
    assert seen == [(1, 2, "halfway")]


async def test_half_of_a_surrogate_pair_in_arguments_costs_no_session(manager: MCPToolManager) -> None:
    before = await pid_of(manager)
    said = text_of(await manager.call("peer", "echo", {"text": "half \ud83d of it"}))
    assert (said[:5], said[-6:]) == ("half ", " of it")
    assert await pid_of(manager) == before


async def test_a_tool_that_is_added_later_is_listed(manager: MCPToolManager) -> None:
    await manager.call("peer", "add_tool", {"name": "fresh"})
    await until(lambda: "peer_fresh" in manager.tool_names("peer"))
    assert text_of(await manager.call("peer", "fresh", {})) == "new"


async def test_a_list_of_tools_in_pages_is_read_whole(tmp_path: Path) -> None:
    async with managed({"whole": peer(), "paged": peer("paged")}, tmp_path) as manager:
        whole = [tool.name for tool in await manager.tools("whole")]
        assert [tool.name for tool in await manager.tools("paged")] == whole


async def test_a_protocol_error_and_nonsense_are_told_apart_from_a_loss(manager: MCPToolManager) -> None:
    with pytest.raises(ToolRefused, match="no tool missing"):
        await manager.call("peer", "missing", {})
    assert text_of(await manager.call("peer", "nonsense", {})) == "not a list"
    assert manager.status()["peer"].restarts == 0


async def test_a_server_gets_an_allow_listed_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    async with managed({"peer": peer(env={"OWN": "value"})}, tmp_path) as manager:
        seen = json.loads(text_of(await manager.call("peer", "env", {})))
    assert seen["OWN"] == "value"
    assert (seen["LC_ALL"], seen["PATH"]) == ("C.UTF-8", os.environ["PATH"])
    assert not {"OPENAI_API_KEY", "PYTHONPATH", "WAYSTATION_HOME"} & seen.keys()


async def test_restart_opens_a_new_session_and_ends_calls_that_are_going(
    manager: MCPToolManager, tmp_path: Path
) -> None:
    before = await pid_of(manager)
    waiting = asyncio.create_task(manager.call("peer", "wait", {"path": str(tmp_path / "never")}))
    await asyncio.wait({waiting}, timeout=0.2)
    await manager.restart("peer")
    with pytest.raises(ServerGone):
        await waiting
    assert await pid_of(manager) != before
    assert manager.status()["peer"].last_error == ""


async def test_restart_never_stays_down_until_asked(tmp_path: Path) -> None:
    async with managed({"peer": peer(restart="never")}, tmp_path) as manager:
        kill(await pid_of(manager))
        await until(lambda: manager.status()["peer"].state is ServerState.DOWN)
        with pytest.raises(ServerDown):
            await manager.call("peer", "pid", {})
        await manager.restart("peer")
        assert await pid_of(manager)


@pytest.mark.always
async def test_closing_leaves_no_process_behind(tmp_path: Path) -> None:
    async with managed({"peer": peer(), "other": peer()}, tmp_path) as manager:
        pids = [await pid_of(manager), await pid_of(manager, "other")]
        pids.append(int(text_of(await manager.call("peer", "leave_child", {}))))
    await until(lambda: not any(is_running(pid) for pid in pids))


async def test_closing_reaps_also_when_it_is_cancelled(tmp_path: Path) -> None:
    pids: list[int] = []

    async def work() -> None:
        async with managed({"peer": peer()}, tmp_path) as manager:
            pids.append(await pid_of(manager))
            await manager.call("peer", "hang", {})

    task = asyncio.create_task(work())
    await until(lambda: bool(pids))
    task.cancel()
    await asyncio.wait({task}, timeout=0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not is_running(pids[0]))


async def test_an_unknown_server_and_one_that_is_off_are_named(tmp_path: Path) -> None:
    async with managed({"peer": peer(), "off": peer(enabled=False)}, tmp_path) as manager:
        with pytest.raises(UnknownServer, match="'nope' is not known; servers: peer"):
            await manager.call("nope", "x", {})
        with pytest.raises(UnknownServer, match="'off' is switched off"):
            await manager.restart("off")
        assert manager.tool_names("off") == []


async def test_a_crash_under_many_calls_is_held_against_the_server_once(manager: MCPToolManager) -> None:
    async def breaker() -> str:
        found: str = (await manager.check()).details["servers"]["peer"]["breaker"]
        return found

    await manager.tools("peer")
    begun = [asyncio.ensure_future(manager.call("peer", "hang", {})) for _ in range(11)]
    crash = asyncio.ensure_future(manager.call("peer", "crash", {}))
    ends = await asyncio.gather(*begun, crash, return_exceptions=True)
    assert [type(end) for end in ends] == [ServerGone] * 12
    assert text_of(await manager.call("peer", "echo", {"text": "on"})) == "on"
    assert await breaker() == "closed"
    for _ in range(5):  # what crashes at each call is left alone, as ever
        with pytest.raises((ServerGone, ServerDown)):
            await manager.call("peer", "crash", {})
    assert await breaker() == "open"
