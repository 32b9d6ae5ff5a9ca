"""A small MCP server written against the protocol alone: `python mcp_peer.py MODE`.

It knows nothing of the mcp package, so it starts in some 30 ms and can
misbehave in ways that a library would not allow. MODE is `normal`, `exit`
(ends at once), `mute` (never answers) or `paged` (lists its tools in pages).
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Arguments = dict[str, Any]
Tool = Callable[[Arguments, Any], dict[str, Any] | None]

_PIXEL = base64.b64encode(b"\x89PNG not really").decode()
_writing = threading.Lock()
_cancelled: list[int] = []
_frozen = threading.Event()
_abilities: dict[str, Any] = {}
_numbers = itertools.count()
_questions: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}


def send(message: dict[str, Any]) -> None:
    with _writing:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def notify(method: str, **params: Any) -> None:
    send({"method": method, "params": params})


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": value}], **more}


def wait_for_file(arguments: Arguments, _token: Any) -> dict[str, Any]:
    """Sleeps until told: a file says so."""
    while not Path(arguments["path"]).exists():
        time.sleep(0.01)
    return text("woken")


def progress(arguments: Arguments, token: Any) -> dict[str, Any]:
    for step in range(1, arguments["steps"] + 1):
        if token is not None:
            params = {"progress": step, "total": arguments["steps"], "message": f"step {step}"}
            notify("notifications/progress", progressToken=token, **params)
    return text("finished")


def log_progress(_: Arguments, _token: Any) -> dict[str, Any]:
    update = "MCP_UPDATE:" + json.dumps({"progress": 1, "total": 2, "message": "halfway"})
    notify("notifications/message", level="info", data=update)
    return text("logged")


def contents(_: Arguments, _token: Any) -> dict[str, Any]:
    parts = [
        {"type": "text", "text": "some text"},
        {"type": "image", "data": _PIXEL, "mimeType": "image/png"},
        {"type": "audio", "data": _PIXEL, "mimeType": "audio/wav"},
        {"type": "resource", "resource": {"uri": "file:///a/notes.txt", "text": "noted"}},
        {"type": "resource", "resource": {"uri": "file:///a/data.bin", "blob": _PIXEL}},
        {"type": "resource_link", "uri": "https://example.test/paper.pdf", "name": "paper"},
    ]
    return {"content": parts}


def version_2(_: Arguments, _token: Any) -> dict[str, Any]:
    answer = {
        "results": {"total": 42},
        "meta_data": {"took_ms": 3},
        "artifacts": [
            {"name": "total.csv", "b64": base64.b64encode(b"total\n42\n").decode(), "mime": "text/csv"}
        ],
        "display": {"open_canvas": True, "primary_file": "total.csv"},
    }
    return text(json.dumps(answer))


def elicit(message: str, requested: dict[str, Any]) -> dict[str, Any]:
    """Ask the person behind the client, and wait for the answer: a result, or an error."""
    number = next(_numbers)
    waiting = _questions[number] = queue.SimpleQueue()
    params = {"message": message, "requestedSchema": requested}
    send({"id": f"q{number}", "method": "elicitation/create", "params": params})
    return waiting.get()


def form(**kinds: str) -> dict[str, Any]:
    properties = {name: {"type": kind} for name, kind in kinds.items()}
    return {"type": "object", "properties": properties, "required": list(kinds)}


def note(arguments: Arguments, what: str) -> None:
    """Write to the file `log` of the arguments, if any: a test reads how often a tool got how far."""
    if arguments.get("log"):
        with _writing, Path(arguments["log"]).open("a") as log:
            log.write(what + "\n")


def book(arguments: Arguments, _token: Any) -> dict[str, Any]:
    """Asks for a number of nights and, where `confirm` is set, whether it is meant."""
    place = arguments["place"]
    note(arguments, f"began {place}")
    answer = elicit(f"How many nights in {place}?", form(nights="integer"))
    if "error" in answer:
        return text(f"failed: {answer['error']['message']}", isError=True)
    if answer["result"]["action"] != "accept":
        return text(f"not booked: {answer['result']['action']}")
    nights = answer["result"]["content"]["nights"]
    if arguments.get("confirm"):
        sure = elicit(f"Really {nights} nights?", form(sure="boolean"))
        if "error" in sure or not (sure["result"].get("content") or {}).get("sure"):
            return text("not booked: not confirmed")
    note(arguments, f"booked {place}")
    return text(f"{place}: {nights} nights")


def ask_late(arguments: Arguments, _token: Any) -> dict[str, Any]:
    """Asks when a file is there, also when its call has been cancelled meanwhile."""
    note(arguments, "waits")
    wait_for_file(arguments, None)
    note(arguments, json.dumps(elicit("Late?", form(nights="integer"))))
    return text("asked")


def visit(_: Arguments, _token: Any) -> dict[str, Any]:
    """Asks the person to go to an address."""
    number = next(_numbers)
    waiting = _questions[number] = queue.SimpleQueue()
    params = {"mode": "url", "message": "Go there", "url": "https://example.test/", "elicitationId": "e1"}
    send({"id": f"q{number}", "method": "elicitation/create", "params": params})
    return text(json.dumps(waiting.get()))


def flood(arguments: Arguments, _token: Any) -> dict[str, Any]:
    line = "x" * 999 + "\n"
    for _ in range(arguments["bytes"] // 1000):
        sys.stderr.write(line)
    sys.stderr.flush()
    return text("flooded")


def hang(_: Arguments, _token: Any) -> None:
    return None


def freeze(_: Arguments, _token: Any) -> None:
    _frozen.set()


def add_tool(arguments: Arguments, _token: Any) -> dict[str, Any]:
    TOOLS[arguments["name"]] = (lambda _a, _t: text("new"), {})
    notify("notifications/tools/list_changed")
    return text("added")


def leave_child(_: Arguments, _token: Any) -> dict[str, Any]:
    """A grandchild in the server's process group, which ignores SIGTERM."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    return text(str(subprocess.Popen([sys.executable, "-c", code]).pid))


TOOLS: dict[str, tuple[Tool, dict[str, str]]] = {
    "echo": (lambda a, _: text(a["text"]), {"text": "string"}),
    "pid": (lambda _a, _: text(str(os.getpid())), {}),
    "wait": (wait_for_file, {"path": "string"}),
    "progress": (progress, {"steps": "integer"}),
    "log_progress": (log_progress, {}),
    "contents": (contents, {}),
    "v2": (version_2, {}),
    "structured": (lambda _a, _: {"content": [], "structuredContent": {"answer": 42}}, {}),
    "fail": (lambda _a, _: text("that went wrong", isError=True), {}),
    "crash": (lambda _a, _: os._exit(3), {}),
    "abilities": (lambda _a, _: text(json.dumps(_abilities)), {}),
    "ask_late": (ask_late, {"path": "string"}),
    "visit": (visit, {}),
    "book": (book, {"place": "string"}),
    "flood": (flood, {"bytes": "integer"}),
    "big": (lambda a, _: text("y" * a["bytes"]), {"bytes": "integer"}),
    "hang": (hang, {}),
    "freeze": (freeze, {}),
    "whoami": (lambda a, _: text(json.dumps(a)), {"_atlas_user": "string", "username": "string"}),
    "read": (lambda a, _: text(json.dumps(a)), {"filename": "string"}),
    "env": (lambda _a, _: text(json.dumps(dict(os.environ))), {}),
    "add_tool": (add_tool, {"name": "string"}),
    "cancelled": (lambda _a, _: text(json.dumps(_cancelled)), {}),
    "leave_child": (leave_child, {}),
    "nonsense": (lambda _a, _: {"content": "not a list"}, {}),
}


def schema(name: str) -> dict[str, Any]:
    parameters = TOOLS[name][1]
    properties = {key: {"type": kind, "description": f"The {key}"} for key, kind in parameters.items()}
    shape = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"name": name, "description": f"Test tool {name}.", "inputSchema": shape}


def tools_page(cursor: str | None, *, paged: bool) -> dict[str, Any]:
    names = list(TOOLS)
    if not paged:
        return {"tools": [schema(name) for name in names]}
    start = int(cursor or 0)
    page: dict[str, Any] = {"tools": [schema(name) for name in names[start : start + 8]]}
    return {**page, "nextCursor": str(start + 8)} if start + 8 < len(names) else page


def run_tool(request: dict[str, Any]) -> None:
    params = request["params"]
    if params["name"] not in TOOLS:
        send({"id": request["id"], "error": {"code": -32602, "message": f"no tool {params['name']}"}})
        return
    token = (params.get("_meta") or {}).get("progressToken")
    result = TOOLS[params["name"]][0](params.get("arguments") or {}, token)
    if result is not None and not _frozen.is_set():
        send({"id": request["id"], "result": result})


def handle(request: dict[str, Any], mode: str) -> None:
    method, params = request.get("method"), request.get("params") or {}
    if method is None:
        _questions[int(request["id"][1:])].put(request)
    elif method == "notifications/cancelled":
        _cancelled.append(params["requestId"])
    elif method == "tools/call":
        threading.Thread(target=run_tool, args=(request,), daemon=True).start()
    else:
        if method == "initialize":
            _abilities.update(params.get("capabilities") or {})
        answer_to(request, mode)


def answer_to(request: dict[str, Any], mode: str) -> None:
    method, params = request.get("method"), request.get("params") or {}
    if "id" in request and not _frozen.is_set() and mode != "mute":
        answers: dict[str | None, dict[str, Any]] = {
            "initialize": {
                "protocolVersion": params.get("protocolVersion"),
                "capabilities": {"tools": {"listChanged": True}, "logging": {}},
                "serverInfo": {"name": "peer", "version": "1"},
            },
            "tools/list": tools_page(params.get("cursor"), paged=mode == "paged"),
        }
        send({"id": request["id"], "result": answers.get(method, {})})


def main(mode: str) -> None:
    if mode == "exit":
        sys.stderr.write("I refuse\n")
        raise SystemExit(3)
    sys.stdout.write("a line that is no JSON\n")
    for line in sys.stdin:
        with contextlib.suppress(BrokenPipeError):
            handle(json.loads(line), mode)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "normal")
