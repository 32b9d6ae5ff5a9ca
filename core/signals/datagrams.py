"""Signals between the processes of one machine: UDP on loopback, for databases in SQLite.

A datagram proves to come from a process of this home: a tag keyed with the home's token, and topics, one a
line. The token itself does not travel: a port of a process that died may belong to a stranger by now.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import hmac
import os
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from core.holder import alive, new_holder
from core.signals.peers import Peers
from core.signals.relay import Cut, Heard, Missed, Pending, Reach

LOOPBACK = "127.0.0.1"
TAG_BYTES = 16
TOKEN_BYTES = 32
# macOS takes no more than 9216 bytes.
MOST_BYTES = 8192


def sealed(token: bytes, topics: Iterable[str]) -> Iterator[bytes]:
    """As few datagrams as carry the topics."""
    lines: list[bytes] = []
    size = TAG_BYTES
    for topic in topics:
        line = topic.encode("ascii")
        if lines and size + len(line) + 1 > MOST_BYTES:
            yield _seal(token, lines)
            lines, size = [], TAG_BYTES
        lines.append(line)
        size += len(line) + 1
    if lines:
        yield _seal(token, lines)


def unsealed(token: bytes, datagram: bytes) -> list[str]:
    """Its topics; none when it does not come from a holder of the token."""
    if not TAG_BYTES < len(datagram) <= MOST_BYTES:
        return []
    tag, body = datagram[:TAG_BYTES], datagram[TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(token, body)):
        return []
    return body.decode("ascii").split("\n")


def kept_token(path: Path) -> bytes:
    """The token in the file; made once, readable by its owner alone, also when several ask at once.

    Raises:
        OSError: The file cannot be read or written, or holds no token.
    """
    if not path.exists():
        _make_token(path)
    token = path.read_bytes()
    if len(token) != TOKEN_BYTES:
        raise OSError(errno.EINVAL, f"state/{path.name} is damaged; delete it and start again")
    return token


def _make_token(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(TOKEN_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # Fails, unlike a rename, when another process was first.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _seal(token: bytes, lines: list[bytes]) -> bytes:
    body = b"\n".join(lines)
    return _tag(token, body) + body


def _tag(token: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(body, key=token, digest_size=TAG_BYTES).digest()


class DatagramRelay:
    """A `Relay` among the processes that share a home.

    What is sent in one go of the event loop leaves together. Processes whose
    homes differ do not find each other, though their database be the same.

    Args:
        state: Holds the token and the folder of registrations.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._pending = Pending()
        self._reach = Reach()
        self._token = b""
        self._missed: Missed = lambda: None
        self._peers: Peers | None = None
        self._mailbox: _Mailbox | None = None

    @property
    def cut(self) -> Cut | None:
        return self._reach.cut

    @property
    def details(self) -> Mapping[str, Any]:
        return {"others": len(self._peers or ()), "dropped": self._pending.dropped}

    def send(self, topic: str) -> None:
        if self._mailbox is None:
            return
        if not self._pending:
            self._mailbox.loop.call_soon(self._flush)
        self._pending.add(topic)

    @asynccontextmanager
    async def opened(self, heard: Heard, missed: Missed) -> AsyncIterator[None]:
        self._missed = missed
        with alive(new_holder()) as holder:
            try:
                await self._open(holder, heard)
            except OSError as error:
                self._lose(error)
            try:
                yield
            finally:
                await self._close()

    async def _open(self, holder: str, heard: Heard) -> None:
        self._token = kept_token(self._state / "signals.token")
        peers = Peers(self._state / "signals", holder)
        mailbox = _Mailbox(self._token, heard)
        await mailbox.loop.create_datagram_endpoint(lambda: mailbox, local_addr=(LOOPBACK, 0))
        try:
            peers.join(mailbox.port)
            peers.others()
        except BaseException:
            peers.leave()
            await mailbox.aclose()
            raise
        self._peers, self._mailbox = peers, mailbox
        self._reach.gain()

    async def _close(self) -> None:
        mailbox, peers = self._mailbox, self._peers
        if mailbox is not None and peers is not None:
            self._flush()
            self._mailbox = None
            peers.leave()
            await mailbox.aclose()
        self._reach.close()

    def _flush(self) -> None:
        if self._mailbox is None or self._peers is None:
            return
        topics, joins = self._pending.take(), self._peers.joins
        try:
            ports = self._peers.others()
        except OSError as error:
            self._lose(error)
            return
        self._reach.gain()
        if self._peers.joins != joins:  # for a while nobody found this process
            self._missed()
        if ports:
            for datagram in sealed(self._token, topics):
                for port in ports:
                    self._mailbox.post(datagram, port)

    def _lose(self, error: OSError) -> None:
        # Not str(error), which names the path.
        self._reach.lose(f"other processes are not reached: {error.strerror or type(error).__name__}")


class _Mailbox(asyncio.DatagramProtocol):
    """The socket of this process. A datagram that the system drops costs its receiver only time."""

    def __init__(self, token: bytes, heard: Heard) -> None:
        self.loop = asyncio.get_running_loop()
        self._token = token
        self._heard = heard
        self._closed = self.loop.create_future()
        self._transport: asyncio.DatagramTransport

    @property
    def port(self) -> int:
        return int(self._transport.get_extra_info("sockname")[1])

    def post(self, datagram: bytes, port: int) -> None:
        self._transport.sendto(datagram, (LOOPBACK, port))

    async def aclose(self) -> None:
        self._transport.close()
        await self._closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none by inheritance.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, _address: object) -> None:
        for topic in unsealed(self._token, data):
            self._heard(topic)

    def connection_lost(self, _error: Exception | None) -> None:
        self._closed.set_result(None)
