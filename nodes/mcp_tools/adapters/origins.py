"""Which call of ours a server's question belongs to, as far as HTTP tells.

Over streamable HTTP a server sends what belongs to a call on the stream that
answers the call's own request. The SDK puts all streams into one queue and
forgets where a message came from, so it is noted here, as the bytes arrive.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson

from nodes.mcp_tools.adapters.http import http_client
from nodes.mcp_tools.adapters.lines import LineCutter

_AT_MOST = 1024  # questions that came and that nobody took; the oldest goes first
_LINE = 262_144
_MARK = b"elicitation/create"


class Origins:
    """The ids of servers' questions, with the id of the request on whose stream each came."""

    def __init__(self) -> None:
        self._found: dict[str | int, int] = {}

    def take(self, question: str | int) -> int | None:
        """The request that the question belongs to; None where its transport does not say."""
        return self._found.pop(question, None)

    def client(
        self,
        headers: dict[str, str] | None = None,
        timeout: httpx.Timeout | None = None,
        auth: httpx.Auth | None = None,
    ) -> httpx.AsyncClient:
        """An HTTP client for the SDK that notes where questions come from."""
        client = http_client(headers, timeout, auth)
        hooks = client.event_hooks
        client.event_hooks = {**hooks, "response": [*hooks["response"], self._listen]}
        return client

    async def _listen(self, response: httpx.Response) -> None:
        kind = response.headers.get("content-type", "")
        if response.request.method != "POST" or not kind.startswith("text/event-stream"):
            return
        request_id = _id_of(response.request.content)
        if isinstance(request_id, int) and isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _Overheard(response.stream, self, request_id)

    def note(self, line: bytes, request_id: int) -> None:
        """Look at one line of the stream that answers `request_id`."""
        question = _id_of(line.removeprefix(b"data:"))
        if question is None:
            return
        if len(self._found) >= _AT_MOST:
            del self._found[next(iter(self._found))]
        self._found[question] = request_id


class _Overheard(httpx.AsyncByteStream):
    """A response's stream, read along."""

    def __init__(self, stream: httpx.AsyncByteStream, origins: Origins, request_id: int) -> None:
        self._stream = stream
        self._origins = origins
        self._request_id = request_id

    async def __aiter__(self) -> AsyncIterator[bytes]:
        lines = LineCutter(_LINE)
        async for chunk in self._stream:
            for line in lines.feed(chunk):
                # Before the chunk goes on: the question must not be there before its origin.
                if isinstance(line, bytes) and _MARK in line:
                    self._origins.note(line, self._request_id)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def _id_of(message: bytes) -> str | int | None:
    """The id of a JSON-RPC request; None where the bytes are none."""
    try:
        found: Any = orjson.loads(message)
    except orjson.JSONDecodeError:
        return None
    wanted = isinstance(found, dict) and "method" in found and isinstance(found.get("id"), str | int)
    return found["id"] if wanted else None
