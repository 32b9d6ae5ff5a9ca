"""A model endpoint that costs next to nothing: a tool call first, and fifty tokens behind its result.

    python -m bench.systems.model

Listens on a free port of loopback, prints `{"port": N}` and speaks the stream of
chat completions. Whoever asks with tools and without a tool's result is told to
add 19 and 23 with the first of the tools; whoever brings a result gets
`word0 ` to `word48 `, and the sum that stands in the result. So an answer shows
that its tool was really called. `POST /control` with `{"first": S, "token": S}`
sets the seconds to the first token and between two; both are 0 at first.

By hand on asyncio, without a framework: it shares the machine with what is
measured. Each token is a write of its own, as endpoints send them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson

TOKENS = 50
WORDS = tuple(f"word{number} " for number in range(TOKENS - 1))
NUMBERS = {"a": 19, "b": 23}
SUM = "42"
ANSWER = "".join(WORDS) + SUM

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"


class Pace:
    """Seconds to the first token, and between two."""

    first = 0.0
    token = 0.0


def chunk(data: bytes) -> bytes:
    """One event, in a chunk of HTTP."""
    line = b"data: " + data + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(line), line)


def piece(delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """One piece of an answer, as a chunk."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "stub"}
    return chunk(json.dumps({**body, "choices": [choice], **more}).encode())


@cache
def ending(finish: str) -> bytes:
    """Finish reason, usage and `[DONE]`."""
    usage = {"prompt_tokens": 20, "completion_tokens": TOKENS, "total_tokens": 20 + TOKENS}
    return piece({}, finish, usage=usage) + chunk(b"[DONE]") + _END


@cache
def call_of(tool: str) -> tuple[bytes, ...]:
    """The call of a tool: its name, then its arguments."""
    named = {"index": 0, "id": "call0sum1", "type": "function", "function": {"name": tool, "arguments": ""}}
    argued = {"index": 0, "function": {"arguments": json.dumps(NUMBERS)}}
    return (
        piece({"role": "assistant", "content": None, "tool_calls": [named]})
        + piece({"tool_calls": [argued]}),
        ending("tool_calls"),
    )


@cache
def words(last: str) -> tuple[bytes, ...]:
    """The fifty tokens."""
    opened = piece({"role": "assistant", "content": ""})
    said = [piece({"content": word}) for word in (*WORDS, last)]
    return (opened + said[0], *said[1:], ending("stop"))


def answer_to(body: Mapping[str, Any]) -> tuple[bytes, ...]:
    """What is written, piece by piece: the first after `first`, the others `token` apart."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return words(SUM if SUM in str(last["content"]) else "nothing")
    if body.get("tools"):
        return call_of(body["tools"][0]["function"]["name"])
    return words(SUM)


class Connection(asyncio.Protocol):
    """Requests one after the other, each with its length in its head."""

    def __init__(self) -> None:
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._line = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = self._held[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._held) < end + 4 + length:
                return
            body = self._held[end + 4 : end + 4 + length]
            self._held = self._held[end + 4 + length :]
            self._take(head.split(b" ", 2)[1], body)

    def _take(self, path: bytes, body: bytes) -> None:
        if path.endswith(b"/chat/completions"):
            self._stream(answer_to(orjson.loads(body)))
        elif path == b"/control":
            for name, seconds in orjson.loads(body).items():
                setattr(Pace, name, float(seconds))
            self._whole(b"{}")
        else:
            self._whole(b'{"object": "list", "data": [{"id": "stub", "object": "model"}]}')

    def _whole(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._line.write(head % len(body) + body)

    def _stream(self, pieces: tuple[bytes, ...]) -> None:
        if not Pace.first:
            self._line.write(_HEAD)
            for each in pieces:
                self._line.write(each)
            return
        loop = asyncio.get_running_loop()
        begun = loop.time() + Pace.first
        self._line.write(_HEAD)

        def send(number: int) -> None:
            if self._line.is_closing():
                return
            self._line.write(pieces[number])
            if number + 2 < len(pieces):
                loop.call_at(begun + (number + 1) * Pace.token, send, number + 1)
            else:
                self._line.write(pieces[-1])

        loop.call_at(begun, send, 0)


async def serve() -> None:
    """Until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=2048)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
