"""How long a connection may take for each part of a request, and how much a head may weigh.

uvicorn's fast parser (httptools) has no bound of its own: it keeps a header
without end, and waits for ever for a head, for a body, and for a reader. Its
other parser (h11) bounds the head only, and takes several times the CPU for a
stream. So this stands around the fast one. Whatever is counted here is counted
by the byte, and nothing is looked at twice.
"""

from __future__ import annotations

import asyncio
import math
import resource
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from core.errors import WaystationError
from core.settings.platform import ServerSettings
from server.errors import BadHttp, HeadTooLarge, RequestTooSlow, problem
from server.protocols.refusals import PROBLEM_JSON

# Longer than a stream of events takes to notice by its heartbeat: it knows what becomes of the run.
STALL_MARGIN_S = 20.0
OPEN_FILES = 8192
# Each turn has its caller's connection and one to its model; the rest is for databases, tools and files.
_WAITING_SHARE = 4


def lift_open_files() -> int:
    """Let this process, and those that it starts, have `OPEN_FILES` files and sockets open; how many it may.

    Many systems give a process 1,024 and allow it far more, where it asks.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return OPEN_FILES
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if wanted > soft:
        with suppress(ValueError, OSError):  # some systems have a lower bound of their own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return soft


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a connection may take; seconds, bytes, and bytes a second."""

    head_bytes: int
    head_seconds: float
    body_seconds: float
    body_rate: int
    stall_seconds: float
    waiting: int

    @classmethod
    def of(cls, settings: ServerSettings, *, files: int = OPEN_FILES) -> Bounds:
        """As the settings say; of `files` that may be open, those who wait for nothing have a share."""
        return cls(
            head_bytes=settings.header_bytes,
            head_seconds=settings.header_seconds,
            body_seconds=settings.body_seconds,
            body_rate=settings.body_rate,
            stall_seconds=settings.stream_stall_seconds + STALL_MARGIN_S,
            waiting=min(settings.waiting_connections, files // _WAITING_SHARE),
        )


class Waiting:
    """The connections of a process that have no request going, the longest waiting first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: dict[Connection, None] = {}

    def add(self, connection: Connection) -> None:
        """One more; where that is one too many, the one that waits longest makes room."""
        self._found.pop(connection, None)
        self._found[connection] = None
        if len(self._found) > self._most:
            longest = next(iter(self._found))
            del self._found[longest]
            longest.give_up()

    def discard(self, connection: Connection) -> None:
        self._found.pop(connection, None)


class Connection(HttpToolsProtocol):
    """One connection of uvicorn's, within bounds.

    Args:
        bounds, waiting: Shared by all connections of the process.
    """

    def __init__(self, *args: Any, bounds: Bounds, waiting: Waiting, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bounds = bounds
        self._waiting = waiting
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        # Requests whose answer is not whole yet; several where a client sends ahead.
        self._unanswered = 0
        self._in_body = False
        # Bytes of a head, or between two pieces of a body, that has not come to its end.
        self._loose = 0
        self._begun = 0.0
        self._body = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._waiting.add(self)
        self._within(self._bounds.head_seconds, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._waiting.discard(self)
        self._unset()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._loose += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._loose > self._bounds.head_bytes:
            self._refuse(self._too_large())
        elif self._timer is None and self._in_body:
            self._within(self._bounds.body_seconds, self._body_is_late)
        elif self._timer is None and not self._unanswered:
            self._within(self._bounds.head_seconds, self._head_is_late)

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._bounds.head_bytes:
            self._refuse(self._too_large())
            # The parser stops here, and uvicorn starts nothing.
            raise self._too_large()
        self._unset()
        self._waiting.discard(self)
        self._unanswered += 1
        self._in_body, self._loose, self._body = True, 0, 0
        self._begun = self.loop.time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._loose = 0
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body, self._loose = False, 0
        self._unset()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._unanswered -= 1
        super().on_response_complete()
        if not self._unanswered and not self._in_body and not self.transport.is_closing():
            self._waiting.add(self)

    def send_400_response(self, msg: str) -> None:
        """Called for what is no HTTP, and for what we have refused already."""
        self._refuse(BadHttp("this is no HTTP request"))

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self._bounds.stall_seconds, self.give_up)

    def resume_writing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def shutdown(self) -> None:
        """Called when the server stops: an answer goes on, a request that is not whole does not."""
        if self._in_body:
            self.give_up()
        else:
            super().shutdown()

    def give_up(self) -> None:
        """Close at once, whatever was on its way."""
        self.transport.abort()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        super()._start_asgi_task(cycle, _Quiet(app, cycle))

    def _within(self, seconds: float, late: Callable[[], None]) -> None:
        self._unset()
        self._timer = self.loop.call_later(seconds, late)

    def _unset(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_is_late(self) -> None:
        if self._loose:
            seconds = self._bounds.head_seconds
            self._refuse(RequestTooSlow(f"the headers did not come to their end within {seconds:g} s"))
        else:
            self.give_up()

    def _body_is_late(self) -> None:
        bounds, now = self._bounds, self.loop.time()
        if self.flow.read_paused:
            # We are the slow ones: the time begins anew.
            self._begun, self._body = now, 0
        left = self._begun + bounds.body_seconds + self._body / bounds.body_rate - now
        if left > 0 and self._unanswered:
            self._within(min(left, bounds.body_seconds), self._body_is_late)
        else:
            self._refuse(RequestTooSlow(f"the body came with less than {bounds.body_rate} bytes a second"))

    def _too_large(self) -> HeadTooLarge:
        return HeadTooLarge(f"the headers are over {self._bounds.head_bytes} bytes")

    def _refuse(self, error: WaystationError) -> None:
        """Say why, where that cannot get into another answer, and close."""
        self._unset()
        if self.transport.is_closing():
            return
        silent = self._in_body if not self._unanswered else not self._in_body or self.cycle.response_started
        if not silent:
            said = problem(error)
            body = orjson.dumps(said)
            head = b"content-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(
                STATUS_LINE[said["status"]] + head % (PROBLEM_JSON.encode(), len(body)) + body
            )
        self.transport.close()


class _Quiet:
    """An application whose end with the server is no fault, and that speaks HTTP/1.0 where asked in it.

    HTTP/1.0 knows no chunks (RFC 9112, section 7.1): an answer of unknown length ends with its connection.
    """

    def __init__(self, app: Any, cycle: Any) -> None:
        self._app = app
        self._cycle = cycle

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._app(scope, receive, self._plain(send) if scope["http_version"] == "1.0" else send)
        except asyncio.CancelledError:
            # Only a server that stops cancels requests: there is nobody to tell, and nothing to report.
            self._cycle.disconnected = True
            self._cycle.transport.abort()

    def _plain(self, send: Any) -> Any:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message.get("headers", ())}
                if not names & {b"content-length", b"transfer-encoding"}:
                    self._cycle.chunked_encoding = False
                    self._cycle.expected_content_length = math.inf
            elif self._cycle.expected_content_length == math.inf and not message.get("more_body", False):
                self._cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        return sending
