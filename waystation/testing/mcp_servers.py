"""Real MCP server processes for tests, and short ways to hold a manager over them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from nodes.mcp_tools.adapters.session import SessionConnector
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.models import CallResult
from nodes.mcp_tools.plugins import MANIFEST, Inventory, PluginManifest
from nodes.mcp_tools.settings import McpSettings, ServerEntry
from nodes.rag.settings import McpSource

# -P: the folder of the scripts is no place to import from.
PEER = Path(__file__).with_name("mcp_peer.py")
HTTP_PEER = Path(__file__).with_name("mcp_http_peer.py")
RAG_SERVER = Path(__file__).with_name("rag_mcp_server.py")


def peer(mode: str = "normal", **fields: Any) -> ServerEntry:
    """An entry for the test server over stdio (modes: normal, exit, mute, paged)."""
    return ServerEntry.model_validate({"command": [sys.executable, "-P", str(PEER), mode], **fields})


def rag_mcp_source(mode: str, log: Path, **fields: Any) -> McpSource:
    """A source behind `rag_mcp_server` over stdio; its calls stand in the file `log`, a line of JSON each."""
    command = [sys.executable, "-P", str(RAG_SERVER), mode, str(log)]
    return McpSource.model_validate({"type": "mcp", "command": command, **fields})


@contextmanager
def rag_mcp_over_http(mode: str, log: Path) -> Iterator[str]:
    """The same over HTTP, in a process of its own; gives its address."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-P", str(RAG_SERVER), mode, str(log), str(port)])
    try:
        wait_for_port(process, port)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def managed(
    servers: Mapping[str, ServerEntry], home: Path, **settings: Any
) -> AsyncIterator[MCPToolManager]:
    """A manager over real sessions, with a start time that a busy machine can keep."""
    chosen = McpSettings.model_validate({"start_timeout_s": 60, **settings})
    async with MCPToolManager(Inventory(servers), SessionConnector(home / "logs"), chosen) as manager:
        yield manager


@dataclass(frozen=True, slots=True)
class IsolatedServer:
    """One server, a process of its own whose current folder and HOME are `folder`."""

    folder: Path
    manager: MCPToolManager

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        found = self.manager.status()["server"].pid
        assert found is not None, "the server is not up"
        return found

    async def tools(self) -> list[str]:
        """The names of its tools."""
        return [tool.name for tool in await self.manager.tools("server")]

    async def call(self, tool: str, **arguments: Any) -> CallResult:
        """What a tool answers; errors as those of `MCPToolManager.call`."""
        return await self.manager.call("server", tool, arguments)

    def freeze(self) -> None:
        """SIGSTOP: it stays connected and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """kill -9."""
        kill(self.pid)


@asynccontextmanager
async def isolated(
    folder: Path, *, plugin: Path | None = None, mode: str = "normal", **settings: Any
) -> AsyncIterator[IsolatedServer]:
    """A started server in a folder of its own; it sees nothing of the caller's files.

    Args:
        folder: Not there yet.
        plugin: A folder with a plugin.json, copied there; without one the test server `mcp_peer`.
        mode: Of the test server.
        settings: Fields of the section `mcp`.
    """
    if plugin is None:
        folder.mkdir(parents=True)
        shutil.copy(PEER, folder)
        command = [sys.executable, "-P", str(folder / PEER.name), mode]
        entry = ServerEntry.model_validate({"command": command, "cwd": str(folder)})
    else:
        shutil.copytree(plugin, folder)
        given = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        entry = PluginManifest.model_validate(given, context={"base": folder}).entry()
    entry = entry.model_copy(update={"env": {**(entry.env or {}), "HOME": SecretStr(str(folder))}})
    async with managed({"server": entry}, folder, **settings) as manager:
        await manager.tools("server")
        yield IsolatedServer(folder, manager)


def text_of(result: CallResult) -> str:
    """What a tool's result says, its parts on lines of their own."""
    return "\n".join(part.text for part in result.content)


async def until(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    """Wait until `condition` holds.

    Raises:
        TimeoutError: It did not within `seconds`.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # a process outside of this loop has no event to wait for
            await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    """True while the process lives; one that is dead but not yet reaped does not count."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    with suppress(OSError):
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    return not Path("/proc").exists()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@contextmanager
def http_peer(transport: str = "streamable-http", port: int = 0) -> Iterator[tuple[str, int]]:
    """The SDK's server over HTTP in a process of its own; gives its address and port."""
    port = port or free_port()
    process = subprocess.Popen([sys.executable, "-P", str(HTTP_PEER), str(port), transport])
    try:
        wait_for_port(process, port)
        yield f"http://127.0.0.1:{port}/{'mcp' if transport == 'streamable-http' else 'sse'}", port
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(process: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(6000):
        if process.poll() is not None:
            raise RuntimeError("the HTTP peer has ended")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
    raise TimeoutError("the HTTP peer does not listen")
