"""A tool server whose tool writes a line to a file: `python notes_tool.py NOTES PIDS ARMED`.

It speaks the protocol by itself, so it starts in some 30 ms. Each process notes
its id in PIDS. Where ARMED says so, it kills the service that started it:
before the line is written, or after that and before it answers.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

SLOW_SECONDS = 0.05
TOOL = {
    "name": "write",
    "description": "Note a key.",
    "inputSchema": {
        "type": "object",
        "properties": {"key": {"type": "string"}},
        "required": ["key"],
    },
}
_writing = threading.Lock()


def send(message: dict[str, Any]) -> None:
    with _writing, suppress(BrokenPipeError):
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def append(path: str, line: str) -> None:
    """One write of one line: whole, whoever else writes."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, f"{line}\n".encode())
    os.close(file)


class Notes:
    """The tool."""

    def __init__(self, notes: str, armed: Path) -> None:
        self._notes = notes
        self._armed = armed
        self._passed = 0
        self._parent = os.getppid()

    def write(self, request: dict[str, Any]) -> None:
        key = request["params"]["arguments"]["key"]
        time.sleep(SLOW_SECONDS)
        if key.endswith("/1"):
            self._at("in tool 1 of 2")
        append(self._notes, key)
        self._at("after the tool's write", "a tool at work before its call is stored")
        send({"id": request["id"], "result": {"content": [{"type": "text", "text": f"noted {key}"}]}})

    def _at(self, *places: str) -> None:
        with suppress(FileNotFoundError):
            armed = json.loads(self._armed.read_text())
            if armed["place"] not in places:
                return
            if self._passed >= armed["after"]:
                os.kill(self._parent, signal.SIGKILL)
            self._passed += 1


def main(notes: str, pids: str, armed: str) -> None:
    append(pids, str(os.getpid()))
    tool = Notes(notes, Path(armed))
    for line in sys.stdin:
        request = json.loads(line)
        method, params = request.get("method"), request.get("params") or {}
        if method == "tools/call":
            threading.Thread(target=tool.write, args=(request,)).start()
        elif "id" in request:
            answers: dict[str | None, dict[str, Any]] = {
                "initialize": {
                    "protocolVersion": params.get("protocolVersion"),
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "notes", "version": "1"},
                },
                "tools/list": {"tools": [TOOL]},
            }
            send({"id": request["id"], "result": answers.get(method, {})})


if __name__ == "__main__":
    main(*sys.argv[1:4])
