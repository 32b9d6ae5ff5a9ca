"""Signals between the processes of one machine: UDP on loopback, for databases in SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from core.holder import alive, new_holder
from core.signals.envelope import kept_token, sealed, unsealed
from core.signals.peers import Peers
from core.signals.pending import Pending
from core.signals.port import Heard, Missed
from core.signals.reach import Cut, Reach

LOOPBACK = "127.0.0.1"


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
