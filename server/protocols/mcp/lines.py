"""MCP over lines: a message each, in and out, for one client of one user (stdio, and the socket behind it).

The last line ends it; what was still going then is left as its caller chose.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

from core.access import Principal
from core.errors import WaystationError
from graph.agent import Agent
from server.middleware.edge import check_json
from server.protocols.mcp import methods, people, rpc
from server.protocols.mcp.exchange import (
    CAPABILITIES_KEY,
    HANDSHAKE,
    MODERN,
    VERSION_KEY,
    Exchange,
    Session,
)
from server.protocols.mcp.seals import Seals

LINE_BYTES = 4_194_304
_DEPTH = 64
_AT_ONCE = 32

Write = Callable[[bytes], Awaitable[None]]


class Conversation:
    """A client's messages and ours.

    Args:
        write: Sends one message, without the end of its line.
    """

    def __init__(self, agent: Agent, who: Principal, seals: Seals, write: Write, *, gateway: bool) -> None:
        self._agent = agent
        self._who = who
        self._seals = seals
        self._write = write
        self._gateway = gateway
        # Of a client that has not shaken hands we know nothing that it could do.
        self._session = Session(HANDSHAKE[0], nonce=secrets.token_urlsafe(9))
        self._line = asyncio.Lock()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._going: set[asyncio.Task[None]] = set()

    @classmethod
    async def of(cls, agent: Agent, who: Principal, write: Write, *, gateway: bool) -> Conversation:
        return cls(agent, who, await Seals.of(agent), write, gateway=gateway)

    async def hold(self, lines: AsyncIterator[bytes]) -> None:
        """Answer until the lines end."""
        try:
            async for line in lines:
                if line.strip():
                    await self._take(line)
        finally:
            for task in self._going:
                task.cancel()
            await asyncio.gather(*self._going, return_exceptions=True)

    async def _take(self, line: bytes) -> None:
        try:
            message = _read(line)
            if message.kind == "response":
                await people.hear(self._agent, self._who, self._seals, message)
                return
            x = self._exchange(message)
        except rpc.Refusal as refusal:
            await self._say(rpc.failure(None, refusal))
            return
        except WaystationError as error:
            await self._say(rpc.failure(None, rpc.refusal_of(error)))
            return
        if message.kind == "notification":
            await methods.noted(x)
        elif message.method == "initialize" and not x.session.modern:
            await self._shake(message)
        else:
            await self._room.acquire()
            task = asyncio.create_task(self._answer(x))
            self._going.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._going.discard(task)
        self._room.release()

    def _exchange(self, message: rpc.Message) -> Exchange:
        session = self._session
        if (version := message.meta.get(VERSION_KEY)) is not None and message.kind == "request":
            if version not in MODERN:
                told = {"supported": [*MODERN, *HANDSHAKE], "requested": version}
                raise rpc.Refusal(
                    rpc.UNSUPPORTED_VERSION, "this protocol version is not spoken here", data=told
                )
            elicits = methods.can_elicit(message.meta.get(CAPABILITIES_KEY))
            session = Session(version, elicits=elicits, nonce=session.nonce)
        return Exchange(
            self._agent, self._who, self._seals, session, message, self._say, gateway=self._gateway
        )

    async def _shake(self, message: rpc.Message) -> None:
        key = message.key
        try:
            self._session, told = methods.handshake(message.params, self._session.nonce)
            await self._say(rpc.answer(key, told))
        except rpc.Refusal as refusal:
            await self._say(rpc.failure(key, refusal))

    async def _answer(self, x: Exchange) -> None:
        await self._say(await methods.answered(x))

    async def _say(self, message: bytes, place: str = "") -> None:
        async with self._line:
            await self._write(message)


def _read(line: bytes) -> rpc.Message:
    if len(line) > LINE_BYTES:
        raise rpc.Refusal(rpc.INVALID_REQUEST, f"the message is over {LINE_BYTES} bytes")
    try:
        check_json(line, depth=_DEPTH)
    except WaystationError as error:
        raise rpc.Refusal(rpc.PARSE, error.detail) from None
    return rpc.read(line)
