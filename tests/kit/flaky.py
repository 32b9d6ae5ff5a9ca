"""A proxy on loopback that fails as it is told, between a client and a real server.

    with FlakyProxy(server.url) as proxy:
        client = connect(proxy.url)
        proxy.answer(503)
        ...
        proxy.heal()

| call | what becomes of a request |
|---|---|
| `heal()` | it goes through, as at the beginning |
| `hang()` | it is taken and never answered; answers that are on their way stop |
| `refuse()` | nobody listens; open connections are reset |
| `answer(503, retry_after=2)` | it is answered so (HTTP), and the server hears nothing of it |
| `fail(60)` | as `answer`, 60 of 100 of them, the same ones with the same seed |
| `cut(after=500)` | its answer breaks off after so many bytes, the head included |

A call holds from the next request on, on open connections too. What hangs stays hung when the proxy has
healed: its client has to give up, as with a host that was unplugged.

The proxy understands no protocol. A request is what a client says after it was answered, or first of all;
that is true of HTTP/1.1 and of Redis. It runs in a thread of its own: tests may block.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from waystation.testing.service import free_port

CHUNK = 65536
PATIENCE_S = 10.0
CONTINUE = b"HTTP/1.1 100"
RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request; nothing by default."""

    hang: bool = False
    status: int = 0
    retry_after: float | None = None
    cut_after: int | None = None


class FlakyProxy:
    """Listens on a port of 127.0.0.1 between `__enter__` and `__exit__`.

    Args:
        upstream: The server's URL, or HOST:PORT.
    """

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream if "//" in upstream else f"//{upstream}")
        assert parts.hostname, "an upstream is a URL or HOST:PORT"
        assert parts.port, "an upstream has a port"
        self.upstream = (parts.hostname, parts.port)
        self.port = free_port()
        login, at, _ = parts.netloc.rpartition("@")
        here = parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}").geturl()
        self.url = here if "//" in upstream else here.removeprefix("//")
        """The upstream's address, by way of the proxy."""
        self.requests = 0
        """Requests so far, those that failed included."""
        self.fault = Fault()
        self._share = 1.0
        self._dice = random.Random(0)  # noqa: S311 - repeatable, not secret
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def heal(self) -> None:
        """Let everything through."""
        self._become(Fault())

    def hang(self) -> None:
        """Answer nothing."""
        self._become(Fault(hang=True))

    def answer(self, status: int, *, retry_after: float | None = None) -> None:
        """Answer every request with an HTTP status and no content.

        Args:
            retry_after: Seconds for the header of that name.
        """
        self._become(Fault(status=status, retry_after=retry_after))

    def fail(self, percent: float, *, status: int = 503, seed: int = 0) -> None:
        """Answer some requests with an HTTP status, and let the others through."""
        self._dice = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._become(Fault(status=status), share=percent / 100)

    def cut(self, *, after: int = 0) -> None:
        """Reset the connection after so many bytes of an answer."""
        self._become(Fault(cut_after=after))

    def refuse(self) -> None:
        """Listen no more, until another call says otherwise."""
        self._run(self._close())

    def next_fault(self) -> Fault:
        """What shall happen to the request that begins now."""
        self.requests += 1
        return self.fault if self._dice.random() < self._share else Fault()

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="flaky-proxy", daemon=True)
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _become(self, fault: Fault, *, share: float = 1.0) -> None:
        self.fault, self._share = fault, share
        self._run(self._listen())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            await _Connection(self, reader, writer).run()
        finally:
            self._connections.discard(task)


class _Connection:
    """One client's connection, and the one to the server that it has got."""

    def __init__(self, proxy: FlakyProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._server: asyncio.StreamWriter | None = None
        self._pumping: asyncio.Task[None] | None = None
        self._fault = Fault()
        self._answered = True
        self._sent = 0

    async def run(self) -> None:
        """Until one of the two leaves, or the proxy does."""
        try:
            while data := await self._reader.read(CHUNK):
                if self._answered:
                    self._answered, self._sent = False, 0
                    self._fault = self._proxy.next_fault()
                if self._fault.status:
                    await self._answer()
                    return
                if not self._fault.hang:
                    await self._forward(data)
        except (OSError, asyncio.CancelledError):
            # Somebody's connection broke, or the proxy refuses from now on; the client hears it as such.
            self._reset()
        finally:
            if self._pumping:
                self._pumping.cancel()
            if self._server:
                self._server.close()
            self._writer.close()

    async def _answer(self) -> None:
        fault = self._fault
        head = [f"HTTP/1.1 {fault.status} Fault", "content-length: 0", "connection: close"]
        if fault.retry_after is not None:
            head.append(f"retry-after: {fault.retry_after:g}")
        self._writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
        await self._writer.drain()
        # A client that is still sending would lose the answer if the connection were closed under it.
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while await self._reader.read(CHUNK):
                    pass

    async def _forward(self, data: bytes) -> None:
        if self._server is None:
            reader, self._server = await asyncio.open_connection(*self._proxy.upstream)
            self._pumping = asyncio.create_task(self._pump(reader))
        self._server.write(data)
        await self._server.drain()

    async def _pump(self, server: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while data := await server.read(CHUNK):
                if self._proxy.fault.hang:
                    return
                limit = self._fault.cut_after
                part = data if limit is None else data[: max(0, limit - self._sent)]
                self._writer.write(part)
                await self._writer.drain()
                self._sent += len(part)
                if limit is not None and self._sent >= limit:
                    self._reset()
                    return
                self._answered = not data.startswith(CONTINUE)
        self._writer.close()

    def _reset(self) -> None:
        found = self._writer.get_extra_info("socket")
        if found is not None:
            with suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._writer.transport.abort()
