"""An answer that is JSON where it comes at once, and a stream where there is something to tell before it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.types import Send

from server.protocols.mcp.exchange import Tell
from server.sse import EventResponse

Work = Callable[[Tell], Awaitable[tuple[int, bytes]]]
"""Works out the answer: its status, which counts while nothing was told before, and its JSON."""


class Reply(EventResponse):
    """The answer to a request that may take long. It ends when the client hangs up.

    Args:
        work: Is given a way to send messages before the answer.
        place: Where a client that loses the stream before its first message goes on; "" where it cannot.
        at_once: A stream in any case, as for a client that comes back to one.
    """

    def __init__(
        self, work: Work, *, stall: float, place: Callable[[], str] = lambda: "", at_once: bool = False
    ) -> None:
        super().__init__({}, stall=stall, at_once=at_once)
        self._work = work
        self._place = place

    async def _send_head(self, send: Send) -> None:
        await super()._send_head(send)
        if place := self._place():
            # A client of 2025-11-25 takes an id without a message for a place to come back to.
            await send({"type": "http.response.body", "body": _primer(place), "more_body": True})

    async def _write(self, send: Send) -> None:
        watch = self._watch(send)

        async def tell(message: bytes, place: str = "") -> None:
            await self._send(watch, send, [_event(message, place)])

        try:
            status, body = await self._work(tell)
            if self._head_sent:
                await self._send(watch, send, [_event(body)])
                await self._send(watch, send, [b""], more=False)
            else:
                await self._answer(send, status, body)
        finally:
            await self._end(watch)

    async def _answer(self, send: Send, status: int, body: bytes) -> None:
        async with self._line:  # a heartbeat would begin a stream
            self._head_sent = True
            headers = [
                (b"content-type", b"application/json"),
                (b"cache-control", b"no-store"),
                (b"content-length", b"%d" % len(body)),
            ]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})


def _event(message: bytes, place: str = "") -> bytes:
    before = f"id: {place}\n".encode() if place else b""
    return b"event: message\n%bdata: %b\n\n" % (before, message)


def _primer(place: str) -> bytes:
    return f"id: {place}\ndata: \n\n".encode()
