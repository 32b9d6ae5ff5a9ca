"""Elicitations of a server in the middle of a call: whose they are, and their answers.

A session serves many turns of many people, so that a question must find the
call that it belongs to. Streamable HTTP says it. Over stdio and SSE nothing
does: there a question belongs to a call only while no other one goes on. One
that comes meanwhile is refused, with a mark. The call whose answer carries the
mark is the one that asked, and is made again while it is alone.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import structlog
from mcp import types

from nodes.mcp_tools.models import Answer, Ask, Question

log = structlog.get_logger(__name__)

_UNCLEAR = "it is not clear which call asks, so nobody was asked; make the call by itself"
_ENDED = "the call that this belongs to has ended"
_MOST_UNTAKEN = 1024  # questions that came and that nobody took; the oldest goes first
_ONLY_FORMS = "only elicitation in form mode is supported"

Reply = types.ElicitResult | types.ErrorData


class OpenCall:
    """One call that is going. Its questions are answered in its caller's task."""

    def __init__(self, tool: str, ask: Ask | None) -> None:
        self.tool = tool
        self.request_id: int | None = None
        self.live = True
        self.marks: list[str] = []
        self._ask = ask
        self._questions = 0
        self._asked: asyncio.Future[tuple[Question, asyncio.Future[Reply]]] = _future()

    async def until(self, sending: asyncio.Future[Any], stop: Callable[[], Awaitable[None]]) -> None:
        """Wait until `sending` is done, and answer the server's questions meanwhile.

        Where a question has no answer, `stop` tells the server before it hears so.
        """
        try:
            while not sending.done():
                await asyncio.wait({sending, self._asked}, return_when=asyncio.FIRST_COMPLETED)
                if not sending.done():
                    await self._answer(stop)
        finally:
            self.live = False
            if self._asked.done():
                _settle(self._asked.result()[1], _error(_ENDED))

    async def question(self, params: types.ElicitRequestFormParams) -> Reply:
        """The answer to a question of the server; waits for the caller's task."""
        reply: asyncio.Future[Reply] = _future()
        question = Question(params.message, params.requestedSchema, self._questions)
        self._questions += 1
        self._asked.set_result((question, reply))
        return await reply

    async def _answer(self, stop: Callable[[], Awaitable[None]]) -> None:
        question, reply = self._asked.result()
        try:
            answer = await self._ask(question) if self._ask else Answer("decline")
        except Exception:
            await stop()
            raise
        self._asked = _future()  # before the reply: the next question may follow at once
        content = dict(answer.content) if answer.content is not None else None
        _settle(reply, types.ElicitResult(action=answer.action, content=content))


class SharedLock:
    """Lets calls in together, or one alone, in the order of their coming: nobody waits for ever."""

    def __init__(self) -> None:
        self._next = asyncio.Lock()
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @asynccontextmanager
    async def held(self, *, alone: bool) -> AsyncIterator[None]:
        """The block runs beside others, or while nobody else is inside."""
        async with self._next:
            if alone:
                await self._empty.wait()
                yield
                return
            self._inside += 1
            self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()


class Elicitations:
    """The calls of one session, and which of them asks.

    Over streamable HTTP a server sends what belongs to a call on the stream that
    answers the call's own request. The SDK puts all streams into one queue and
    forgets where a message came from, so it is noted here, as the bytes arrive.
    """

    def __init__(self) -> None:
        self._calls: set[OpenCall] = set()
        self._lock = SharedLock()
        self._askers: set[str] = set()
        self._streams: dict[str | int, int] = {}

    def place(self, call: OpenCall) -> AbstractAsyncContextManager[None]:
        """A place among the calls; alone for a tool whose questions nothing else tells apart."""
        return self._lock.held(alone=call.tool in self._askers)

    def came_on(self, question: str | int, request_id: int) -> None:
        """The question came on the stream that answers `request_id`."""
        if len(self._streams) >= _MOST_UNTAKEN:
            del self._streams[next(iter(self._streams))]
        self._streams[question] = request_id

    def stream_of(self, question: str | int) -> int | None:
        """The request on whose stream the question came; None where its transport does not say."""
        return self._streams.pop(question, None)

    def begin(self, call: OpenCall, request_id: int | None) -> None:
        """The call's request is on its way, under this id."""
        call.request_id = request_id
        self._calls.add(call)

    def end(self, call: OpenCall) -> None:
        """The call was answered, or cannot ask any more."""
        self._calls.discard(call)

    def refused_as_unclear(self, call: OpenCall, answer: str) -> bool:
        """Whether the answer shows that this call asked and was refused for being one of several."""
        found = any(mark in answer for mark in call.marks)
        if found:
            self._askers.add(call.tool)
        return found

    async def on_question(self, request_id: str | int, params: types.ElicitRequestParams) -> Reply:
        """The SDK's callback. It runs in the session's own loop, which stands still until it returns."""
        if not isinstance(params, types.ElicitRequestFormParams):
            return _error(_ONLY_FORMS, types.INVALID_PARAMS)
        origin = self.stream_of(request_id)
        if origin is not None:
            own = next((call for call in self._calls if call.request_id == origin), None)
            return await own.question(params) if own and own.live else _error(_ENDED)
        if len(self._calls) > 1:
            return self._refuse()
        only = next(iter(self._calls), None)
        if only is None or not only.live:
            return _error(_ENDED)
        self._askers.add(only.tool)
        return await only.question(params)

    def _refuse(self) -> types.ErrorData:
        mark = f"ref {secrets.token_hex(8)}"
        for call in self._calls:
            call.marks.append(mark)
        log.info("mcp question unclear", calls=len(self._calls))
        return _error(f"{_UNCLEAR} ({mark})")


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


def _settle(reply: asyncio.Future[Reply], value: Reply) -> None:
    with suppress(asyncio.InvalidStateError):  # the session ended meanwhile
        reply.set_result(value)


def _error(message: str, code: int = types.INVALID_REQUEST) -> types.ErrorData:
    return types.ErrorData(code=code, message=message)
