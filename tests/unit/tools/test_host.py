"""The host of the bundled servers: as the SDK would serve them, each session by itself."""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import types
from mcp.shared.memory import create_connected_server_and_client_session

from tools import host
from waystation.testing.agents import BUNDLED

SERVERS = {name: importlib.import_module(f"tools.{name}.server").server for name in sorted(BUNDLED)}
CALLS = [
    ("calculator", "add", {"a": 5, "b": 3}),
    ("calculator", "add", {"a": "5", "b": 3}),
    ("calculator", "evaluate", {"expression": "1/0"}),
    ("calculator", "nothing", {}),
    ("clock", "difference", {"start": "2026-01-01", "end": "2026-01-31"}),
    ("clock", "now", {"zone": "Nowhere"}),
    ("tables", "describe", {"filename": "data:text/csv,a,b%0A1,2%0A"}),
    ("tables", "describe", {"filename": "nothing.csv"}),
]


class Client:
    """The other side of a session."""

    def __init__(self, wire: socket.socket) -> None:
        self.wire = wire
        self._file = wire.makefile("rw", encoding="utf-8")

    def send(self, **message: Any) -> None:
        self._file.write(json.dumps(message) + "\n")
        self._file.flush()

    def line(self) -> str:
        return self._file.readline()

    def ask(self, method: str, params: Any = None) -> Any:
        self.send(jsonrpc="2.0", id=1, method=method, params=params)
        return json.loads(self.line())


@contextmanager
def session(server: str) -> Iterator[Client]:
    """A session of this process's own host, in a thread as there."""
    ours, theirs = socket.socketpair()
    serving = threading.Thread(target=host.serve, args=(theirs,))
    serving.start()
    with ours:
        client = Client(ours)
        client.send(server=server)
        yield client
        ours.shutdown(socket.SHUT_RDWR)
    serving.join()


def opened(server: str, client: Client) -> Client:
    assert json.loads(client.line()) == {"pid": os.getpid()}, server
    return client


@pytest.mark.parametrize("name", SERVERS)
async def test_a_client_is_told_the_same_tools_as_by_the_sdk(name: str) -> None:
    async with create_connected_server_and_client_session(SERVERS[name]._mcp_server) as sdk:
        wanted = [
            {
                "name": tool.name,
                "description": tool.description,
                "inputSchema": tool.inputSchema,
                "annotations": {
                    "readOnlyHint": tool.annotations is not None and tool.annotations.readOnlyHint
                },
            }
            for tool in (await sdk.list_tools()).tools
        ]
    with session(name) as client:
        assert opened(name, client).ask("tools/list")["result"]["tools"] == wanted


@pytest.mark.parametrize(("name", "tool", "arguments"), CALLS)
async def test_a_call_is_answered_as_by_the_sdk(name: str, tool: str, arguments: dict[str, Any]) -> None:
    async with create_connected_server_and_client_session(SERVERS[name]._mcp_server) as sdk:
        answer = await sdk.send_request(
            types.ClientRequest(
                types.CallToolRequest(params=types.CallToolRequestParams(name=tool, arguments=arguments))
            ),
            types.CallToolResult,
        )
    wanted = answer.model_dump(mode="json", exclude_none=True)
    with session(name) as client:
        found = opened(name, client).ask("tools/call", {"name": tool, "arguments": arguments})["result"]
    assert found["isError"] == wanted["isError"]
    if "validation error" not in wanted["content"][0]["text"].lower():
        assert found["content"] == wanted["content"]


def test_a_session_is_opened_in_a_version_that_both_know() -> None:
    with session("clock") as client:
        opened("clock", client)
        for asked, wanted in (("2025-03-26", "2025-03-26"), ("1999-01-01", host.VERSIONS[0])):
            found = client.ask("initialize", {"protocolVersion": asked})["result"]
            assert found["protocolVersion"] == wanted
            assert found["serverInfo"]["name"] == "clock"
        assert types.LATEST_PROTOCOL_VERSION in host.VERSIONS


def test_notes_need_no_answer_and_unknown_requests_get_one() -> None:
    with session("clock") as client:
        opened("clock", client).send(jsonrpc="2.0", method="notifications/initialized")
        assert client.ask("ping")["result"] == {}
        assert client.ask("resources/list")["error"]["code"] == host.METHOD_NOT_FOUND


@pytest.mark.parametrize("name", ["nothing", "../tools/clock", ""])
def test_what_is_no_server_of_the_folder_ends_the_session(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with session(name) as client:
        assert json.loads(client.line()) == {"error": f"there is no server '{name}'"}
        assert not client.line()
    assert "there is no server" in capsys.readouterr().err


def test_a_session_begins_with_a_module_of_its_own() -> None:
    with host.loaded("clock") as one, host.loaded("clock") as other:
        assert one is not other
    assert not [name for name in sys.modules if name.startswith("clock_session")]
    assert sys.modules["mcp.server.fastmcp"].FastMCP is not host.TextTools


def test_what_a_server_prints_goes_over_its_own_connection(capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = socket.socketpair()
    printed = host.Printed(sys.stderr)
    printed.write("of nobody\n")
    with ours, theirs:

        def speak() -> None:
            host._session.set(host.Connection(theirs))
            print("half a ", end="", file=printed)
            print("line", file=printed, flush=True)

        thread = threading.Thread(target=speak)
        thread.start()
        thread.join()
        assert ours.recv(100) == b"#half a line\n"
    printed.flush()
    assert capsys.readouterr().err == "of nobody\n"


def test_the_end_of_its_owner_is_its_own() -> None:
    ended: list[int] = []
    read, write = os.pipe()
    os.close(write)
    with os.fdopen(read, "rb") as owner:
        host.end_with(owner, ended.append)
    assert ended == [0]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a watchdog does it")
def test_its_owner_s_end_is_its_own_even_while_it_can_do_nothing(tmp_path: Path) -> None:
    where = str(tmp_path.resolve() / "h")[-90:] if len(str(tmp_path)) < 80 else "/tmp/waystation-h"  # noqa: S108
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(where)
        listener.listen()
        handle = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, host.__file__, str(handle)], stdin=subprocess.PIPE, pass_fds=[handle]
        )
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(where)
        client = Client(wire)
        client.send(server="clock")
        assert json.loads(client.line()) == {"pid": process.pid}
        process.send_signal(signal.SIGSTOP)  # as if it never came out of a call
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == -signal.SIGKILL


def test_the_sdk_is_not_loaded_for_it() -> None:
    code = (
        "import sys, runpy\n"
        f"made = runpy.run_path({host.__file__!r})\n"
        "for name in ('calculator', 'clock', 'tables'):\n"
        "    with made['loaded'](name): pass\n"
        "print(sorted({'mcp', 'anyio', 'asyncio', 'ssl', 'starlette', 'httpx'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


async def test_the_servers_run_on_the_sdk_when_they_are_started_alone() -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
    params = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "0"},
    }
    told = await anyio.run_process(
        [sys.executable, str(host.FOLDER / "clock" / "server.py")],
        input=json.dumps({**message, "params": params}).encode() + b"\n",
    )
    assert json.loads(told.stdout)["result"]["serverInfo"]["name"] == "clock"
