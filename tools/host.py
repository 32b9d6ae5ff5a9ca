"""Serves the servers of this folder in one process: a session for each connection, in a thread of its own.

Waystation starts it as `host.py FD`, with a listening Unix socket as that file descriptor, and keeps its
standard input open for as long as it is wanted. A connection begins with a line that names a server,
`{"server": "clock"}`, and is answered with `{"pid": 123}`; from then on both sides speak MCP as over stdio.
A line from here that begins with `#` is one that the server has printed.
"""

from __future__ import annotations

import gc
import importlib.util
import io
import itertools
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO

import anyio
from mcp.server.fastmcp import FastMCP
from mcp.server.stdio import stdio_server

FOLDER = Path(__file__).resolve().parent
PRINTED = "#"

_session: ContextVar[Connection | None] = ContextVar("session", default=None)
_count = itertools.count(1)


class Connection(io.TextIOBase):
    """What a session writes: whole lines, from whichever thread of it."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire
        self._lock = threading.Lock()
        self._printed = ""

    def write(self, text: str) -> int:
        with self._lock:
            self._wire.sendall(text.encode("utf-8", "replace"))
        return len(text)

    def printed(self, text: str) -> None:
        """What the server printed, a line at a time."""
        *lines, self._printed = (self._printed + text).split("\n")
        for line in lines:
            self.write(f"{PRINTED}{line}\n")


class Printed(io.TextIOBase):
    """Stands for standard output and error: what a session prints goes over its own connection."""

    def __init__(self, otherwise: TextIO) -> None:
        self._otherwise = otherwise

    def write(self, text: str) -> int:
        connection = _session.get()
        if connection is None:
            return self._otherwise.write(text)
        connection.printed(text)
        return len(text)

    def flush(self) -> None:
        if _session.get() is None:
            self._otherwise.flush()


@contextmanager
def loaded(name: str) -> Iterator[FastMCP[Any]]:
    """The server of a folder, made anew: what a session leaves behind in its module, the next has not.

    Raises:
        LookupError: There is no such server.
    """
    path = FOLDER / name / "server.py"
    if Path(name).name != name or not path.is_file():
        raise LookupError(f"there is no server '{name[:64]}'")
    module_name = f"{name}_session_{next(_count)}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise LookupError(f"the server '{name[:64]}' cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # where annotations that are text are looked up
    try:
        spec.loader.exec_module(module)
        yield module.server
    finally:
        del sys.modules[module_name]


def serve(wire: socket.socket) -> None:
    """One session, from its first line until the other side leaves."""
    with wire, wire.makefile("r", encoding="utf-8", errors="replace") as lines:
        connection = Connection(wire)
        _session.set(connection)
        try:
            name = str(json.loads(lines.readline())["server"])
            with loaded(name) as server:
                connection.write(json.dumps({"pid": os.getpid()}) + "\n")
                anyio.run(_speak, server, lines, connection)
        except* (OSError, ValueError, LookupError, TypeError) as failed:
            _session.set(None)
            print(f"a session ended: {failed.exceptions[0]!r}", file=sys.stderr, flush=True)


async def _speak(server: FastMCP[Any], lines: Any, connection: Any) -> None:
    low = server._mcp_server  # the SDK's own way from a FastMCP to streams that are not the process's
    async with stdio_server(anyio.wrap_file(lines), anyio.wrap_file(connection)) as (read, write):
        await low.run(read, write, low.create_initialization_options())


def end_with(owner: io.BufferedIOBase, end: Callable[[int], object] = os._exit) -> None:
    """Wait for the end of what the owner keeps open, then end at once: nothing here outlives a session."""
    owner.read()
    end(0)


def main() -> None:
    """Serve until standard input ends."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    threading.Thread(target=end_with, args=(sys.stdin.buffer,), daemon=True).start()
    sys.stdout = sys.stderr = Printed(sys.stderr)
    os.dup2(2, 1)  # nobody reads standard output
    # What imports have made stays: no need to look through it again.
    gc.collect()
    gc.freeze()
    while True:
        wire, _ = listener.accept()
        threading.Thread(target=serve, args=(wire,), daemon=True).start()


if __name__ == "__main__":
    main()
