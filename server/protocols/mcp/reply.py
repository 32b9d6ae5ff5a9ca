"""An answer that is JSON where it comes at once, and a stream where there is something to tell before it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.protocols.mcp.exchange import Tell
from server.sse import BEAT, HEARTBEAT_SECONDS, Watch, pieces_of, until_gone

_JSON = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
_STREAM = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
Work = Callable[[Tell], Awaitable[tuple[int, bytes]]]
"""Works out the answer: its status, which counts while nothing was told before, and its JSON."""


class Reply(Response):
    """The answer to a request that may take long. It ends when the client hangs up.

    Args:
        work: Is given a way to send messages before the answer.
        stall: Seconds after which a reader that takes nothing is dropped.
    """

    def __init__(self, work: Work, *, stall: float, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._work = work
        self._stall = stall
        self._line = asyncio.Lock()
        self._begun = False
        self._beat: asyncio.Future[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writer = await until_gone(self._write(send), receive)
        if not writer.cancelled():
            writer.result()

    async def _write(self, send: Send) -> None:
        me = asyncio.current_task()
        assert me is not None  # noqa: S101 - a coroutine that runs has one
        watch = Watch(
            HEARTBEAT_SECONDS, self._stall, silent=lambda: self._begin_beat(watch, send), stalled=me.cancel
        )

        async def tell(message: bytes) -> None:
            await self._send(watch, send, _event(message))

        try:
            status, body = await self._work(tell)
            if self._begun:
                await self._send(watch, send, _event(body), more=False)
            else:
                await self._whole(send, status, body)
        finally:
            watch.close()
            if self._beat is not None:
                self._beat.cancel()
                await asyncio.gather(self._beat, return_exceptions=True)

    async def _whole(self, send: Send, status: int, body: bytes) -> None:
        async with self._line:
            self._begun = True
            length = (b"content-length", b"%d" % len(body))
            headers = [*self.raw_headers, *_JSON, length]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    def _begin_beat(self, watch: Watch, send: Send) -> None:
        if not self._line.locked() and (self._beat is None or self._beat.done()):
            self._beat = asyncio.ensure_future(self._send(watch, send, BEAT))

    async def _send(self, watch: Watch, send: Send, data: bytes, *, more: bool = True) -> None:
        async with self._line:  # no heartbeat between the pieces of a message
            if not self._begun:
                self._begun = True
                headers = [*self.raw_headers, *_STREAM]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            pieces = list(pieces_of([data]))
            for place, piece in enumerate(pieces, start=1):
                watch.begins()
                last = not more and place == len(pieces)
                await send({"type": "http.response.body", "body": piece, "more_body": not last})
                watch.taken()


def _event(message: bytes) -> bytes:
    return b"event: message\ndata: %b\n\n" % message
