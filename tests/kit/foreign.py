"""Tool servers of other people, each in an environment of its own (`make .venv/.foreign`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nodes.mcp_tools.settings import ServerEntry
from waystation.testing.mcp_servers import free_port, wait_for_port

ENVIRONMENTS = Path(sys.prefix) / "foreign"
OURS = Path(__file__).parents[1] / "foreign" / "servers"
_NODE = ENVIRONMENTS / "node" / "node_modules" / "@modelcontextprotocol"


def python_of(name: str) -> str:
    """The interpreter of an environment; skips the test where it was not installed."""
    found = ENVIRONMENTS / name / "bin" / "python"
    if not found.exists():
        pytest.skip(f"the environment '{name}' is not installed: run `make .venv/.foreign`")
    return str(found)


def node_server(name: str) -> list[str]:
    """The command of a server of the package registry for Node.js; skips the test where that is missing."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is missing: this server needs it")
    script = _NODE / name / "dist" / "index.js"
    if not script.exists():
        pytest.skip(f"the server '{name}' is not installed: run `make .venv/.foreign` with npm")
    return [node, str(script)]


def written_with(name: str) -> list[str]:
    """The command of a small server of ours in the words of another library."""
    return [python_of(name), "-P", str(OURS / f"{name}_server.py")]


def local(command: Sequence[str], **fields: Any) -> ServerEntry:
    return ServerEntry.model_validate({"command": list(command), **fields})


@contextmanager
def listening(
    command: Sequence[str], path: str, *, port: int = 0, port_in: str = ""
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server over HTTP in a process of its own; gives its address and the process.

    Args:
        port_in: The variable that names the port; by default it is the last argument.
    """
    port = port or free_port()
    argv = [*command] if port_in else [*command, str(port)]
    environ = {**os.environ, **({port_in: str(port)} if port_in else {})}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(argv, env=environ, stdout=quiet, stderr=quiet)
    try:
        wait_for_port(process, port)
        yield f"http://127.0.0.1:{port}{path}", process
    finally:
        process.kill()
        process.wait()
