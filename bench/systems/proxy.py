"""The floor: FastAPI, an HTTP client and server-sent events, with no agent between them.

    python -m bench.systems.proxy MODEL_URL PORT

It asks the model, adds what the model wants added, asks again and relays the tokens.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


async def deltas(http: aiohttp.ClientSession, url: str, messages: list[Any]) -> AsyncIterator[dict[str, Any]]:
    """The deltas of one answer."""
    body = {"model": "stub", "stream": True, "messages": messages, "tools": [TOOL]}
    async with http.post(f"{url}/chat/completions", json=body) as answer:
        async for line in answer.content:
            if line.startswith(b"data: {"):
                yield orjson.loads(line[6:])["choices"][0]["delta"]


async def relay(http: aiohttp.ClientSession, url: str, message: str) -> AsyncIterator[bytes]:
    """The tokens of a turn, as events."""
    messages: list[Any] = [{"role": "user", "content": message}]
    arguments = ""
    async for delta in deltas(http, url, messages):
        for call in delta.get("tool_calls", ()):
            arguments += call["function"]["arguments"]
    given = orjson.loads(arguments)
    messages.append({"role": "tool", "tool_call_id": "1", "content": str(given["a"] + given["b"])})
    async for delta in deltas(http, url, messages):
        if text := delta.get("content"):
            yield b"data: %b\n\n" % orjson.dumps({"delta": text})


def app(url: str) -> FastAPI:
    """The service."""

    @asynccontextmanager
    async def life(service: FastAPI) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as service.state.http:
            yield

    service = FastAPI(lifespan=life)

    @service.post("/stream")
    async def stream(request: Request) -> StreamingResponse:
        message = (await request.json())["message"]
        return StreamingResponse(relay(service.state.http, url, message), media_type="text/event-stream")

    return service


if __name__ == "__main__":
    uvicorn.run(app(sys.argv[1]), port=int(sys.argv[2]), log_level="warning", backlog=2048)
