"""A run's events as server-sent events, in LangServe's dialect: `event: data` … `event: end`."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from graph.runs import Run

HEARTBEAT_SECONDS = 15.0
END = b"event: end\n\n"
BEAT = b": still here\n\n"


def encode(event: dict[str, Any]) -> bytes:
    """One event: its number is the id, the whole of it one line of JSON."""
    return b"id: %d\nevent: data\ndata: %b\n\n" % (event["seq"], orjson.dumps(event, default=str))


class RunResponse(Response):
    """Streams a run until its last event; when the reader goes away, the run is left.

    Args:
        after: Number of the last event that the reader has.
        heartbeat: Seconds between comments that keep proxies from closing a silent line.
    """

    media_type = "text/event-stream"

    def __init__(self, run: Run, *, after: int = 0, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._run = run
        self._after = after
        self._heartbeat = heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        writer = asyncio.ensure_future(self._write(send))
        helpers = [asyncio.ensure_future(disconnected(receive)), asyncio.ensure_future(self._beat(send))]
        try:
            await asyncio.wait([writer, *helpers], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writer, *helpers):
                task.cancel()
            self._run.leave()
            await asyncio.gather(writer, *helpers, return_exceptions=True)
        if not writer.cancelled():
            writer.result()

    async def _write(self, send: Send) -> None:
        async for event in self._run.events(self._after):
            await send({"type": "http.response.body", "body": encode(event), "more_body": True})
        await send({"type": "http.response.body", "body": END, "more_body": False})

    async def _beat(self, send: Send) -> None:
        while True:
            await asyncio.sleep(self._heartbeat)
            await send({"type": "http.response.body", "body": BEAT, "more_body": True})


async def disconnected(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
