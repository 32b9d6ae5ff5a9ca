"""A receiver of signed webhooks: a real HTTP server on loopback that checks what it gets.

    async with WebhookServer(secret) as server:
        server.answer(503, retry_after="7")     # the next request; 204 afterwards
        ... let something post to server.url ...
        [message] = await server.received(1)

`verify` is written from the Standard Webhooks specification, not from our
sender.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import ssl
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
_TOLERANCE_SECONDS = 300
_LONGEST_BODY = 1_048_576


class BadSignature(Exception):
    """The message was not signed by who has the secret, or it is too old."""


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> None:
    """Check a message as a receiver must.

    Raises:
        BadSignature: It is not to be trusted.
    """
    message_id, stamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(stamp)) > _TOLERANCE_SECONDS:
        raise BadSignature("the timestamp is too far from now")
    key = base64.b64decode(secret.split("_", 1)[1])
    content = message_id.encode() + b"." + stamp.encode() + b"." + body
    wanted = hmac.digest(key, content, hashlib.sha256)
    for part in headers["webhook-signature"].split(" "):
        version, _, value = part.partition(",")
        if version == "v1" and hmac.compare_digest(base64.b64decode(value), wanted):
            return
    raise BadSignature("no signature matches")


@dataclass(frozen=True, slots=True)
class Message:
    """One request as it came; the signature was right where `signed`."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    signed: bool

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class WebhookServer:
    """Listens on a free port while its block runs.

    Args:
        secret: What the signatures are checked with.
        host: Loopback address to listen on.
        tls: Serve https with this context.
        name: Host name in `url`; the address itself when left out.
    """

    def __init__(
        self,
        secret: str = SECRET,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        name: str = "",
    ) -> None:
        self._secret = secret
        self._host = host
        self._port = port
        self._tls = tls
        self._name = name or (f"[{host}]" if ":" in host else host)
        self._answers: deque[tuple[int, dict[str, str]]] = deque()
        self._messages: list[Message] = []
        self._more = asyncio.Condition()
        self._released = asyncio.Event()
        self._released.set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None, "the server is not started"
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self._name}:{self.port}/hook?from=waystation"

    def answer(self, status: int, **headers: str) -> None:
        """What a coming request gets; names take `-` for `_`."""
        self._answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}))

    def hang(self) -> None:
        """Take requests and answer none until `release`."""
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    @property
    def messages(self) -> list[Message]:
        """What came so far, oldest first."""
        return list(self._messages)

    async def received(self, count: int, *, timeout: float = 10) -> list[Message]:
        """Return when `count` requests have come; gives all of them."""
        async with asyncio.timeout(timeout), self._more:
            await self._more.wait_for(lambda: len(self._messages) >= count)
        return self.messages

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._host, self._port, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A sender that gives up closes its side at any point.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._take(await _read(reader))
            await self._released.wait()
            status, headers = self._answers.popleft() if self._answers else (204, {})
            lines = [f"HTTP/1.1 {status} Scripted", "content-length: 0", "connection: close"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode())
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _take(self, request: tuple[str, dict[str, str], bytes]) -> None:
        path, headers, body = request
        signed = True
        try:
            verify(self._secret, headers, body)
        except (BadSignature, KeyError, ValueError):
            signed = False
        async with self._more:
            self._messages.append(Message(path, headers, body, signed))
            self._more.notify_all()


async def _read(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {}
    for line in head[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    length = min(int(headers.get("content-length", 0)), _LONGEST_BODY)
    return head[0].split(" ")[1], headers, await reader.readexactly(length)
