"""The bundled servers in one process: shared, told of when it dies, killed when it is stuck."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core import sockets
from core.events import Event
from nodes.mcp_tools import plugins
from nodes.mcp_tools.adapters import host as hosting
from nodes.mcp_tools.adapters.host import BundledHost
from nodes.mcp_tools.adapters.session import SessionConnector, child_environment, connector
from nodes.mcp_tools.errors import CallTimedOut, ServerDown, ServerGone
from nodes.mcp_tools.events import ServerDown as WentDown
from nodes.mcp_tools.events import ServerUp
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.models import ServerState
from nodes.mcp_tools.plugins import HOST, Inventory, bundled_name
from nodes.mcp_tools.settings import McpSettings, ServerEntry
from waystation.testing.mcp_servers import is_running, kill, text_of, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sockets.AVAILABLE, reason="this system has no Unix sockets"),
]

# What a plugin folder of the tests does: hang, say something, tell its process.
STUCK = """
import os, sys, time
from mcp.server.fastmcp import FastMCP

server = FastMCP("odd", log_level="WARNING")

@server.tool(structured_output=False)
def hang() -> str:
    "Never comes back."
    while True:
        time.sleep(1)

@server.tool(structured_output=False)
def freeze() -> str:
    "Stops the whole process."
    os.kill(os.getpid(), 19)
    time.sleep(60)
    return "awake"

@server.tool(structured_output=False)
def say(text: str) -> str:
    "Prints it."
    print(text, file=sys.stderr)
    return text
"""


def entry_of(folder: Path, **fields: object) -> ServerEntry:
    command = [sys.executable, str(folder / "server.py")]
    return ServerEntry.model_validate({"command": command, "cwd": str(folder), **fields})


def entries_in(folder: Path, **fields: object) -> dict[str, ServerEntry]:
    return {path.parent.name: entry_of(path.parent, **fields) for path in sorted(folder.glob("*/server.py"))}


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as `tools`, with two servers that do odd things."""
    folder = tmp_path / "bundle"
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
        (folder / name / "server.py").write_text(STUCK)
    shutil.copy(HOST, folder)
    monkeypatch.setattr(plugins, "BUNDLED", folder)
    return folder


@asynccontextmanager
async def hosted(
    home: Path,
    servers: dict[str, ServerEntry],
    *,
    script: Path = HOST,
    told: list[Event] | None = None,
    begun: Sequence[str] = (),
) -> AsyncIterator[MCPToolManager]:
    host = BundledHost(
        script, state=home / "state", logs=home / "logs", env=child_environment(os.environ, {})
    )
    settings = McpSettings(start_timeout_s=30)
    sessions = SessionConnector(home / "logs", host)
    publish = (told if told is not None else []).append
    async with MCPToolManager(Inventory(servers), sessions, settings, publish=publish) as manager:
        for name in begun or servers:
            await manager.tools(name)
        yield manager


def pids(manager: MCPToolManager) -> set[int | None]:
    return {status.pid for status in manager.status().values()}


def all_up(manager: MCPToolManager) -> bool:
    return all(status.state is ServerState.UP for status in manager.status().values())


async def test_the_bundled_servers_are_one_process(tmp_path: Path) -> None:
    async with hosted(tmp_path, entries_in(HOST.parent)) as manager:
        (pid,) = pids(manager)
        assert text_of(await manager.call("calculator", "add", {"a": 5, "b": 3})) == "8"
        assert "30 days" in text_of(
            await manager.call("clock", "difference", {"start": "2026-01-01", "end": "2026-01-31"})
        )
    assert pid is not None
    assert not is_running(pid)
    assert not list((tmp_path / "state").glob("*.sock"))


async def test_its_death_is_told_for_each_server_and_each_is_up_again(tmp_path: Path) -> None:
    told: list[Event] = []
    async with hosted(tmp_path, entries_in(HOST.parent), told=told) as manager:
        (pid,) = pids(manager)
        assert pid is not None
        kill(pid)
        await until(lambda: all(s.restarts == 1 for s in manager.status().values()) and all_up(manager))
        (after,) = pids(manager)
        assert after != pid
        errors = {status.last_error for status in manager.status().values()}
        assert errors == {"its process was ended by signal 9"}
        assert text_of(await manager.call("calculator", "add", {"a": 5, "b": 3})) == "8"
    names = {"calculator", "clock", "tables"}
    assert {event.server for event in told if isinstance(event, WentDown)} == names
    assert [event.server for event in told if isinstance(event, ServerUp)].count("clock") == 2


@pytest.mark.parametrize("tool", ["hang", "freeze"])
async def test_a_host_that_is_stuck_is_told_of_killed_and_started_again(
    tmp_path: Path, bundle: Path, tool: str
) -> None:
    told: list[Event] = []
    servers = entries_in(bundle, timeout_s=0.5)
    async with hosted(tmp_path, servers, script=bundle / "host.py", told=told) as manager:
        (pid,) = pids(manager)
        assert pid is not None
        with pytest.raises(CallTimedOut):
            await manager.call("one", tool, {})
        await until(lambda: not is_running(pid))
        await until(lambda: all_up(manager) and pid not in pids(manager))
        assert text_of(await manager.call("one", "say", {"text": "well"})) == "well"
        assert text_of(await manager.call("two", "say", {"text": "again"})) == "again"
    reasons = {event.server: event.reason for event in told if isinstance(event, WentDown)}
    assert reasons.keys() == {"one", "two"}
    assert reasons["one"] == "it does not answer any more"


async def test_a_server_that_is_stuck_leaves_the_others_at_work_until_it_is_found_out(
    tmp_path: Path, bundle: Path
) -> None:
    servers = entries_in(bundle, timeout_s=5)
    async with hosted(tmp_path, servers, script=bundle / "host.py") as manager:
        stuck = asyncio.create_task(manager.call("one", "hang", {}))
        assert text_of(await manager.call("two", "say", {"text": "beside"})) == "beside"
        assert not stuck.done()
        with pytest.raises((CallTimedOut, ServerGone)):
            await stuck


async def test_a_restart_of_one_server_is_a_new_session_and_leaves_the_others_alone(
    tmp_path: Path, bundle: Path
) -> None:
    async with hosted(tmp_path, entries_in(bundle), script=bundle / "host.py") as manager:
        before = pids(manager)
        changed = STUCK.replace("return text", "return text.upper()")
        (bundle / "one" / "server.py").write_text(changed)
        await manager.restart("one")
        assert text_of(await manager.call("one", "say", {"text": "new"})) == "NEW"
        assert text_of(await manager.call("two", "say", {"text": "old"})) == "old"
        assert pids(manager) == before
        assert manager.status()["two"].restarts == 0


async def test_each_server_has_its_own_log(tmp_path: Path, bundle: Path) -> None:
    async with hosted(tmp_path, entries_in(bundle), script=bundle / "host.py") as manager:
        await manager.call("one", "say", {"text": "of the first"})
        await manager.call("two", "say", {"text": "of the second"})
    logs = {name: (tmp_path / "logs" / f"mcp-{name}.log").read_text() for name in ("one", "two")}
    assert logs == {"one": "of the first\n", "two": "of the second\n"}


async def test_an_entry_that_says_otherwise_has_a_process_of_its_own(tmp_path: Path) -> None:
    clock = HOST.parent / "clock"
    servers = {
        "clock": entry_of(clock),
        "mine": ServerEntry.model_validate({"command": [sys.executable, str(clock / "server.py")]}),
        "other": entry_of(clock, env={"TZ": "UTC"}),
    }
    async with hosted(tmp_path, servers) as manager:
        assert len(pids(manager)) == 3
        assert "UTC" in text_of(await manager.call("mine", "now", {}))
    assert [bundled_name(entry) for entry in servers.values()] == ["clock", "", ""]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (None, "there is no server 'one'"),
        (
            "import a_package_that_is_missing",
            "ModuleNotFoundError: No module named 'a_package_that_is_missing'",
        ),
        ("x = = 1", "SyntaxError: invalid syntax (server.py, line 1)"),
        ("import sys; sys.exit('no licence')", "SystemExit: no licence"),
        (
            "open(__file__ + '.data')",
            "FileNotFoundError: [Errno 2] No such file or directory: 'one/server.py.data'",
        ),
        ("serve = 1", "its server.py makes no `server`"),
        ("from json import nothing", "ImportError: cannot import name 'nothing' from 'json' (__init__.py)"),
        ("open('/a folder/of/keys')", "FileNotFoundError: [Errno 2] No such file or directory: 'keys'"),
    ],
)
async def test_a_server_that_cannot_be_loaded_costs_itself_and_says_why(
    tmp_path: Path, bundle: Path, code: str | None, why: str
) -> None:
    file, servers = bundle / "one" / "server.py", entries_in(bundle)
    if code is None:
        file.unlink()
    else:
        file.write_text(code)
    async with hosted(tmp_path, servers, script=bundle / "host.py", begun=["two"]) as manager:
        with pytest.raises(ServerDown) as down:
            await manager.restart("one")
        assert down.value.detail == f"the tool server 'one' is down: it cannot be loaded: {why}"
        assert text_of(await manager.call("two", "say", {"text": "well"})) == "well"
        health = await manager.check()
        assert why in health.reason
        assert manager.status()["one"].last_error.endswith(why)
    assert why.partition(":")[0] in (tmp_path / "logs" / "tools-host.log").read_text()


async def test_a_host_that_cannot_start_says_why(tmp_path: Path, bundle: Path) -> None:
    (bundle / "host.py").write_text("import pydantic_is_missing")
    with pytest.raises(ServerDown, match="No module named 'pydantic_is_missing'"):
        async with hosted(tmp_path, entries_in(bundle), script=bundle / "host.py"):
            pass


async def test_workers_of_a_service_share_a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting, "_family", lambda: "service")
    servers = entries_in(HOST.parent)
    async with hosted(tmp_path, servers) as first:
        async with hosted(tmp_path, servers) as second:
            assert pids(first) == pids(second)
        assert all_up(first)
        assert text_of(await first.call("calculator", "add", {"a": 1, "b": 1})) == "2"


async def test_the_worker_that_did_not_start_the_host_starts_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting, "_family", lambda: "service")
    servers = entries_in(HOST.parent)
    async with hosted(tmp_path, servers) as first:
        second = hosted(tmp_path, servers)
        manager = await second.__aenter__()
        before = pids(manager)
        await first.aclose()
        await until(lambda: all_up(manager) and pids(manager) != before)
        assert text_of(await manager.call("calculator", "add", {"a": 1, "b": 1})) == "2"
        await second.__aexit__(None, None, None)


def _family_of_a_child(found: multiprocessing.Queue[str]) -> None:
    found.put(hosting._family())


def test_workers_are_a_family_and_other_processes_are_not() -> None:
    spawned = multiprocessing.get_context("spawn")
    found: multiprocessing.Queue[str] = spawned.Queue()
    workers = [spawned.Process(target=_family_of_a_child, args=(found,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    one, other = found.get(timeout=60), found.get(timeout=60)
    for worker in workers:
        worker.join()
    assert one == other
    assert one not in {hosting._family(), hosting._family()}


async def test_a_socket_that_a_killed_service_left_behind_goes(tmp_path: Path) -> None:
    left = tmp_path / "state" / "tools-killed.sock"
    with sockets.listening(left):
        os.link(left, left.with_name("kept"))
    left.with_name("kept").rename(left)
    async with hosted(tmp_path, {"clock": entry_of(HOST.parent / "clock")}) as manager:
        assert all_up(manager)
        assert not left.exists()


async def test_a_service_without_unix_sockets_starts_each_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "AVAILABLE", False)
    sessions = connector(tmp_path)
    async with MCPToolManager(Inventory(entries_in(HOST.parent)), sessions, McpSettings()) as manager:
        for name in ("calculator", "clock"):
            await manager.tools(name)
        assert len({manager.status()[name].pid for name in ("calculator", "clock")}) == 2


async def test_a_host_that_does_not_even_greet_is_killed(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = entries_in(bundle)
    async with hosted(tmp_path, servers, script=bundle / "host.py", begun=["one"]) as manager:
        pid = manager.status()["one"].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(
            Exception, match="'two' is down: the process of the bundled servers does not answer"
        ):
            await manager.tools("two")
        await until(lambda: not is_running(pid))
        await until(lambda: all_up(manager))
