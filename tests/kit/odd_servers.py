"""Servers that answer oddly, over stdio and HTTP, and short ways to hold them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nodes.mcp_tools.settings import ServerEntry
from tests.kit.odd_peer import Message, answer_to

ODD_PEER = Path(__file__).with_name("odd_peer.py")
GOOD: Message = {"name": "good", "description": "Works.", "inputSchema": {"type": "object"}}


def odd(folder: Path, script: Message, **fields: Any) -> ServerEntry:
    """An entry for `odd_peer` with this script."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"script-{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps(script), encoding="utf-8")
    return ServerEntry.model_validate({"command": [sys.executable, "-P", str(ODD_PEER), str(path)], **fields})


def text(value: str, **more: Any) -> Message:
    """A call's answer of one text."""
    return {"result": {"content": [{"type": "text", "text": value}], **more}}


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> Message:
        """The JSON-RPC message; empty where there is none."""
        found: Message = json.loads(self.body) if self.body else {}
        return found

    @property
    def tool(self) -> str:
        """The tool that it calls."""
        called = self.method == "POST" and self.message.get("method") == "tools/call"
        return str(self.message["params"]["name"]) if called else ""


@dataclass(frozen=True, slots=True)
class Response:
    """What the server sends; `parts` go out one by one, then what comes from `live`."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    parts: tuple[bytes, ...] = ()
    live: asyncio.Queue[bytes] | None = None


Handler = Callable[[Request], Awaitable[Response] | Response]


@dataclass(slots=True)
class OddHttp:
    """A running server and all that it was asked."""

    port: int
    asked: list[Request] = field(default_factory=list)

    def url(self, path: str = "/mcp") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def calls(self, tool: str) -> int:
        """How often the tool was called."""
        return sum(request.tool == tool for request in self.asked)


@asynccontextmanager
async def odd_http(handler: Handler) -> AsyncIterator[OddHttp]:
    """An HTTP server in this loop that answers as `handler` says."""
    seen = OddHttp(0)

    going: set[asyncio.Task[None] | None] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        going.add(asyncio.current_task())
        try:
            request = await _read(reader)
            seen.asked.append(request)
            found = handler(request)
            await _write(writer, found if isinstance(found, Response) else await found)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has left
        finally:
            going.discard(asyncio.current_task())
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=16 * 1024 * 1024)
    seen.port = server.sockets[0].getsockname()[1]
    async with server:
        yield seen
        for task in [task for task in going if task is not None]:
            task.cancel()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, path, _ = head[0].split(" ")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))


async def _write(writer: asyncio.StreamWriter, response: Response) -> None:
    headers = {"connection": "close", **response.headers}
    lines = [f"HTTP/1.1 {response.status} Odd", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    for part in response.parts:
        writer.write(part)
        await writer.drain()
    while response.live is not None:
        writer.write(await response.live.get())
        await writer.drain()


def as_json(message: Message, status: int = 200, *, session: str = "") -> Response:
    headers = {"content-type": "application/json"} | ({"mcp-session-id": session} if session else {})
    return Response(status, headers, (json.dumps(message).encode(),))


def as_stream(*messages: Message) -> Response:
    events = tuple(b"event: message\ndata: " + json.dumps(one).encode() + b"\n\n" for one in messages)
    return Response(200, {"content-type": "text/event-stream"}, events)


def usual(script: Message, *, session: str = "s1") -> Callable[[Request], Response]:
    """Answers over streamable HTTP as `odd_peer` does with this script."""

    def handler(request: Request) -> Response:
        if request.method != "POST":
            return Response(405 if request.method == "GET" else 200)
        message = request.message
        if "id" not in message or "method" not in message:
            return Response(202)
        answer = {"jsonrpc": "2.0", "id": message["id"], **answer_to(script, message)}
        return as_json(answer, session=session)

    return handler


class UsualSse:
    """Answers over SSE as `odd_peer` does with this script; one session."""

    def __init__(self, script: Message) -> None:
        self._script = script
        self._events: asyncio.Queue[bytes] = asyncio.Queue()

    def __call__(self, request: Request) -> Response:
        if request.method == "GET":
            first = b"event: endpoint\ndata: /messages?session_id=1\n\n"
            return Response(200, {"content-type": "text/event-stream"}, (first,), self._events)
        message = request.message
        if "id" in message and "method" in message:
            answer = {"jsonrpc": "2.0", "id": message["id"], **answer_to(self._script, message)}
            self._events.put_nowait(b"event: message\ndata: " + json.dumps(answer).encode() + b"\n\n")
        return Response(202, {}, (b"Accepted",))
