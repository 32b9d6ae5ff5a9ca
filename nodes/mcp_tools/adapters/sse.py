"""Event streams of servers, read along: what is in them is heard before the SDK reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import httpx
import orjson

from nodes.mcp_tools.adapters.messages import Incoming, LineCutter, Oversize
from nodes.mcp_tools.errors import ServerGone

EVENT_STREAM = "text/event-stream"


def as_events(messages: Iterable[dict[str, Any]], *, beside: bytes = b"") -> bytes:
    """JSON-RPC messages as events; `beside` are lines of fields that stand with the first of them."""
    lines = [b"data: " + orjson.dumps(message) + b"\n\n" for message in messages]
    return beside + b"".join(lines)


class EventStream(httpx.AsyncByteStream):
    """A response's events, with the messages that the SDK shall read in place of those that came.

    Args:
        number: The request that the stream answers, where it answers one.
        limit: Longest line that is read, in bytes.
    """

    def __init__(self, response: httpx.Response, incoming: Incoming, number: int | None, limit: int) -> None:
        self._response = response
        self._incoming = incoming
        self._number = number
        self._limit = limit
        self._fields: list[bytes] = []
        self._data: list[bytes] = []
        self._message = True
        self._resumable = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        cutter = LineCutter(self._limit)
        try:
            async for chunk in self._response.aiter_bytes():
                out = b"".join(part for line in cutter.feed(chunk) for part in self._line(line))
                if out:
                    yield out
        finally:
            # With an event's id the SDK asks for the rest of the stream; without, nothing more comes.
            if self._number is not None and not self._resumable:
                self._incoming.fail(self._number, ServerGone("the connection ended before the answer came"))

    async def aclose(self) -> None:
        await self._response.aclose()

    def _line(self, line: bytes | Oversize) -> Iterator[bytes]:
        if isinstance(line, Oversize):
            yield as_events(self._incoming.oversize(line, self._number))
            return
        line = line.rstrip(b"\r")
        if not line:
            yield self._event()
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            return
        if name == b"event":
            self._message = value == b"message"
        self._resumable |= name == b"id" and bool(value)
        self._fields.append(line + b"\n")

    def _event(self) -> bytes:
        fields, data = b"".join(self._fields), b"\n".join(self._data)
        message, had_data = self._message, bool(self._data)
        self._fields, self._data, self._message = [], [], True
        if not message or not data.strip():
            return (
                fields + (b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n" if had_data else b"") + b"\n"
            )
        messages = self._incoming.read(data, self._number)
        if not messages:
            return fields + b"data:\n\n"  # its id counts all the same
        return as_events(messages, beside=fields)
