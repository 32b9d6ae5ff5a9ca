"""Tool servers without processes: plain async functions behind the same port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from core.access import Principal
from nodes.mcp_tools.errors import ServerGone
from nodes.mcp_tools.models import Answer, Ask, CallResult, Content, Progress, Question, ToolInfo, ToolList
from nodes.mcp_tools.ports import Listener
from nodes.mcp_tools.settings import ServerEntry

Elicit = Callable[[str, Mapping[str, Any]], Awaitable[Answer]]
"""What a fake tool asks a person with: a message and a schema."""

Work = Callable[[Mapping[str, Any], Progress], Awaitable[CallResult | str]]
AskingWork = Callable[[Mapping[str, Any], Elicit], Awaitable[CallResult | str]]


@dataclass
class FakeServer:
    """What a fake server offers: its tools, and what each does.

    Calling `break_down` ends every open session, as the death of a process does.
    """

    tools: dict[str, tuple[ToolInfo, Work]] = field(default_factory=dict)
    asking: dict[str, AskingWork] = field(default_factory=dict)
    starts: int = 0
    broken: str = ""
    left_out: tuple[str, ...] = ()
    _listeners: list[Listener] = field(default_factory=list)
    _gone: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, info: ToolInfo, work: Work) -> None:
        """Offer a tool; open sessions hear of it."""
        self.tools[info.name] = (info, work)
        for listener in self._listeners:
            listener.changed()

    def add_asking(self, info: ToolInfo, work: AskingWork) -> None:
        """Offer a tool that asks a person in the middle of a call."""
        self.asking[info.name] = work
        self.add(info, _only_asking)

    def break_down(self, reason: str = "it was told to") -> None:
        """End every open session; calls that are going end as gone."""
        self._gone.set()
        self._gone = asyncio.Event()
        for listener in tuple(self._listeners):
            listener.lost(reason)


class FakeConnector:
    """Opens sessions with fake servers, by name."""

    def __init__(self, servers: Mapping[str, FakeServer]) -> None:
        self._servers = servers

    @asynccontextmanager
    async def open(
        self, name: str, entry: ServerEntry, listener: Listener, *, max_result_bytes: int
    ) -> AsyncIterator[FakeConnection]:
        server = self._servers[name]
        server.starts += 1
        if server.broken:
            raise ServerGone(server.broken)
        server._listeners.append(listener)
        try:
            yield FakeConnection(server)
        finally:
            server._listeners.remove(listener)


class FakeConnection:
    """One open session with a fake server."""

    pid: int | None = None

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self._gone = server._gone

    async def tools(self) -> ToolList:
        self._check()
        return ToolList(tuple(info for info, _ in self._server.tools.values()), self._server.left_out)

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        progress: Progress | None = None,
        ask: Ask | None = None,
    ) -> CallResult:
        self._check()
        if tool not in self._server.tools:
            return CallResult((Content("text", f"Unknown tool: {tool}"),), is_error=True)
        questions = _Questions(ask)
        if tool in self._server.asking:
            work = asyncio.ensure_future(self._server.asking[tool](arguments, questions.elicit))
        else:
            work = asyncio.ensure_future(self._server.tools[tool][1](arguments, progress or _ignore))
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            await questions.answer_until(work, gone)
            if not work.done():
                raise ServerGone("the server went away before it answered")
            answer = work.result()
        finally:
            work.cancel()
            gone.cancel()
        return answer if isinstance(answer, CallResult) else CallResult((Content("text", answer),))

    async def alive(self) -> bool:
        return not self._gone.is_set()

    def _check(self) -> None:
        if self._gone.is_set():
            raise ServerGone("the connection was closed", sent=False)


class _Questions:
    """The questions of one call, answered in its caller's task."""

    def __init__(self, ask: Ask | None) -> None:
        self._ask = ask
        self._asked = 0
        self._waiting: asyncio.Queue[tuple[Question, asyncio.Future[Answer]]] = asyncio.Queue()

    async def elicit(self, message: str, schema: Mapping[str, Any]) -> Answer:
        reply: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((Question(message, schema, self._asked), reply))
        self._asked += 1
        return await reply

    async def answer_until(self, *ends: asyncio.Future[Any]) -> None:
        """Answer questions until one of the ends is reached."""
        while not any(end.done() for end in ends):
            asked = asyncio.ensure_future(self._waiting.get())
            try:
                await asyncio.wait({asked, *ends}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                asked.cancel()
            if asked.done() and not asked.cancelled():
                question, reply = asked.result()
                reply.set_result(await self._ask(question) if self._ask else Answer("decline"))


async def _only_asking(_: Mapping[str, Any], __: Progress) -> str:
    raise AssertionError("a tool that asks is called with the means to ask")


def _ignore(progress: float, total: float | None, message: str) -> None:
    """Nobody listens."""


class FakeLinks:
    """Addresses that only name the file and whom they were made for."""

    async def link(self, key: str, *, principal: Principal) -> str:
        return f"http://127.0.0.1/files/{key}?for={principal.id}"
