"""A run's events as server-sent events, in LangServe's dialect, and the route `/agent/stream`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from core.settings.platform import ServerSettings
from graph.agent import Agent
from graph.runs.events import LoggedEvent
from graph.runs.streams import Handle
from server.middleware.auth import Caller
from server.requests import (
    AgentInput,
    CheckedInput,
    checked_inputs,
    idempotency_key,
    last_event_id,
    turn_request,
)

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 15.0
STALL_SECONDS = 30.0
# A server waits for its socket between two pieces: what it holds for a reader stays below 256 KiB.
PIECE_BYTES = 64 * 1024
END = b"event: end\n\n"
BEAT = b": still here\n\n"


def encode(entry: LoggedEvent) -> bytes:
    """One event: its number is the id, the whole of it one line of JSON."""
    return b"id: %d\nevent: data\ndata: %b\n\n" % (entry.seq, entry.line)


class RunResponse(Response):
    """Streams a run until its last event; when the reader goes away, the run is left.

    A reader that takes nothing for `stall` seconds is dropped and the run goes
    on: it can come back with the number of the last event that it has.

    Args:
        after: Number of the last event that the reader has.
        heartbeat: Seconds between comments that keep proxies from closing a silent line.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        run: Handle,
        *,
        after: int = 0,
        heartbeat: float = HEARTBEAT_SECONDS,
        stall: float = STALL_SECONDS,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Run-ID": run.id})
        del self.headers["content-length"]
        self._run = run
        self._after = after
        self._heartbeat = heartbeat
        self._stall = stall
        self._line = asyncio.Lock()
        self._stalled = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        writer = asyncio.ensure_future(self._write(send))
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            await asyncio.wait([writer, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writer, gone):
                task.cancel()
            if self._stalled:
                log.info("stream_reader_dropped", run_id=self._run.id)
            else:
                self._run.leave()
            await asyncio.gather(writer, gone, return_exceptions=True)
        if not writer.cancelled() and not self._stalled:
            writer.result()

    async def _write(self, send: Send) -> None:
        me, beat = asyncio.current_task(), asyncio.ensure_future(self._beat(send))
        # A heartbeat that nobody takes ends the stream too.
        beat.add_done_callback(lambda _: None if beat.cancelled() or me is None else me.cancel())
        try:
            entries: Any = self._run.entries(self._after)
            async with aclosing(entries):
                async for entry in entries:
                    await self._send(send, encode(entry))
            await self._send(send, END, more=False)
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)

    async def _beat(self, send: Send) -> None:
        while True:
            await asyncio.sleep(self._heartbeat)
            await self._send(send, BEAT)

    async def _send(self, send: Send, data: bytes, *, more: bool = True) -> None:
        async with self._line:  # no heartbeat between the pieces of an event
            for start in range(0, len(data), PIECE_BYTES):
                last = start + PIECE_BYTES >= len(data)
                piece = data[start : start + PIECE_BYTES]
                message = {"type": "http.response.body", "body": piece, "more_body": more or not last}
                try:
                    async with asyncio.timeout(self._stall):
                        await send(message)
                except TimeoutError:
                    self._stalled = True
                    raise


async def disconnected(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def add_stream(router: APIRouter, agent: Callable[[], Agent]) -> None:
    """The route /agent/stream: LangServe's own would encode every event again."""

    @router.post("/agent/stream", include_in_schema=False)
    async def stream(
        request: Request,
        who: Caller,
        turns: Annotated[list[CheckedInput], Depends(checked_inputs(AgentInput))],
    ) -> Response:
        [(given, wishes)] = turns
        key = idempotency_key(request.headers.get("idempotency-key"))
        after = last_event_id(request.headers.get("last-event-id"))
        handle = await agent().begin(turn_request(who, given, wishes.model_dump(), key=key))
        stall = agent().book[ServerSettings].stream_stall_seconds
        return RunResponse(handle, after=after, stall=stall)
