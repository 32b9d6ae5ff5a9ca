"""Serves the servers of this folder in one process: a session for each connection, in a thread of its own.

Waystation starts it as `host.py FD`, with a listening Unix socket as that file descriptor, and keeps its
standard input open for as long as it is wanted. A connection begins with a line that names a server,
`{"server": "clock"}`, and is answered with `{"pid": 123}`; from then on both sides speak MCP as over stdio.
A server that cannot be loaded is answered with `{"error": "why"}`, and the connection ends.
A line from here that begins with `#` is one that the server has printed.

The servers are written for the SDK's FastMCP, and run on it wherever they are started alone. Here they get
`TextTools` in its place, which is what they use of it: the SDK would take twice the memory of all else.
"""

from __future__ import annotations

import fcntl
import gc
import importlib.util
import inspect
import io
import itertools
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, TextIO, TypeVar

from pydantic import BaseModel, create_model

F = TypeVar("F", bound=Callable[..., str])

FOLDER = Path(__file__).resolve().parent
PRINTED = "#"
VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
METHOD_NOT_FOUND = -32601
WHY_CHARS = 300

_session: ContextVar[Connection | None] = ContextVar("session", default=None)
_count = itertools.count(1)
_loading = threading.Lock()


class ToolError(Exception):
    """Says to the model what was wrong with a call."""


class _Tool:
    """A function that returns text, and what a client is told of it."""

    def __init__(self, run: Callable[..., str], name: str, hints: Mapping[str, bool]) -> None:
        self._run = run
        fields: dict[str, Any] = {}
        for each in inspect.signature(run, eval_str=True).parameters.values():
            fields[each.name] = (each.annotation, ... if each.default is each.empty else each.default)
        self._arguments: type[BaseModel] = create_model(f"{run.__name__}Arguments", **fields)
        self.told = {
            "name": name,
            "description": run.__doc__ or "",
            "inputSchema": self._arguments.model_json_schema(by_alias=True),
            "annotations": hints,
        }

    def call(self, given: Mapping[str, Any]) -> str:
        found = self._arguments.model_validate(given)
        return self._run(**{name: getattr(found, name) for name in type(found).model_fields})


class TextTools:
    """An MCP server of tools that return text, made and used as the SDK's FastMCP."""

    def __init__(self, name: str, *, log_level: str = "WARNING") -> None:
        self.name = name
        self._tools: dict[str, _Tool] = {}

    def tool(
        self,
        name: str = "",
        *,
        annotations: Mapping[str, bool] | None = None,
        structured_output: bool = False,
    ) -> Callable[[F], F]:
        """Offer a function to clients; its parameters and docstring say how it is called."""

        def offered(run: F) -> F:
            known = name or run.__name__
            self._tools[known] = _Tool(run, known, annotations or {})
            return run

        return offered

    def speak(self, lines: Iterable[str], write: Callable[[str], object]) -> None:
        """Answer a client, a JSON-RPC message a line, until there are no more; one after the other."""
        for line in lines:
            message = json.loads(line)
            if isinstance(message, dict) and "id" in message and "method" in message:
                answer = self._answer(str(message["method"]), message.get("params") or {})
                write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}) + "\n")

    def _answer(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        if method == "initialize":
            return {"result": self._opening(params.get("protocolVersion"))}
        if method == "tools/list":
            return {"result": {"tools": [tool.told for tool in self._tools.values()]}}
        if method == "tools/call":
            return {"result": self._called(str(params.get("name")), params.get("arguments") or {})}
        if method == "ping":
            return {"result": {}}
        return {"error": {"code": METHOD_NOT_FOUND, "message": "Method not found"}}

    def _opening(self, wanted: object) -> dict[str, Any]:
        version = wanted if wanted in VERSIONS else VERSIONS[0]
        about = {"name": self.name, "version": "0.1.0"}
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}

    def _called(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        failed = True
        try:
            if name in self._tools:
                text, failed = self._tools[name].call(given), False
            else:
                text = f"Unknown tool: {name}"
        except Exception as error:  # noqa: BLE001 - whatever it is: the model reads it, and the server lives on
            text = f"Error executing tool {name}: {error}"
        return {"content": [{"type": "text", "text": text}], "isError": failed}


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
def loaded(name: str) -> Iterator[TextTools]:
    """The server of a folder, made anew: what a session leaves behind in its module, the next has not.

    Raises:
        LookupError: There is no such server.
    """
    path = FOLDER / name / "server.py"
    module_name = f"{name}_session_{next(_count)}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if Path(name).name != name or not path.is_file() or spec is None or spec.loader is None:
        raise LookupError(f"there is no server '{name[:64]}'")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # where annotations that are text are looked up
    try:
        with _loading, _in_place_of_the_sdk():
            spec.loader.exec_module(module)
        if not hasattr(module, "server"):
            raise LookupError("its server.py makes no `server`")
        yield module.server
    finally:
        del sys.modules[module_name]


@contextmanager
def _in_place_of_the_sdk() -> Iterator[None]:
    names = ("mcp", "mcp.server", "mcp.server.fastmcp", "mcp.server.fastmcp.exceptions", "mcp.types")
    before = {name: sys.modules[name] for name in names if name in sys.modules}
    made = {name: ModuleType(name) for name in names}
    vars(made["mcp.server.fastmcp"])["FastMCP"] = TextTools
    vars(made["mcp.server.fastmcp.exceptions"])["ToolError"] = ToolError
    vars(made["mcp.types"])["ToolAnnotations"] = dict
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(before)


def serve(wire: socket.socket) -> None:
    """One session, from its first line until the other side leaves."""
    with wire, wire.makefile("r", encoding="utf-8", errors="replace") as lines:
        connection = Connection(wire)
        set_before = _session.set(connection)
        try:
            speak(lines, connection)
        except (OSError, ValueError, LookupError, TypeError) as error:
            _session.reset(set_before)
            print(f"a session ended: {error!r}", file=sys.stderr, flush=True)


def speak(lines: TextIO, connection: Connection) -> None:
    """Load the server that the first line names, and let it speak; whoever asked hears why it cannot."""
    name = str(json.loads(lines.readline())["server"])
    with ExitStack() as stack:
        try:
            server = stack.enter_context(loaded(name))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever its file does: the others live on
            connection.write(json.dumps({"error": why(error)}) + "\n")
            raise LookupError(f"the server '{name[:64]}' cannot be loaded: {why(error)}") from None
        connection.write(json.dumps({"pid": os.getpid()}) + "\n")
        server.speak(lines, connection.write)


def why(error: BaseException) -> str:
    """What went wrong, in one line; a file of the servers by its place among them."""
    text = " ".join(str(error).split()).replace(f"{FOLDER}{os.sep}", "")
    said = text if type(error) is LookupError else f"{type(error).__name__}: {text}"
    return said[:WHY_CHARS]


def end_with(owner: BinaryIO, end: Callable[[int], object] = os._exit) -> None:
    """Wait for the end of what the owner keeps open, then end at once: nothing here outlives a session."""
    owner.read()
    end(0)


def killed_with(owner: int) -> None:
    """Have the kernel kill this process at the end of what the owner keeps open, whatever goes on here."""
    if sys.platform == "linux":
        fcntl.fcntl(owner, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(owner, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(owner, fcntl.F_SETFL, fcntl.fcntl(owner, fcntl.F_GETFL) | os.O_ASYNC)


def main() -> None:
    """Serve until standard input ends."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    killed_with(sys.stdin.fileno())
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
