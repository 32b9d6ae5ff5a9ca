"""A run's events as server-sent events, in LangServe's dialect, and the route `/agent/stream`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from core.settings.platform import ServerSettings
from graph.agent import Agent
from graph.runs.events import LoggedEvent, line_of
from graph.runs.names import former, former_reply
from graph.runs.streams import Handle
from graph.turn.details import DETAILS
from server.middleware.auth import Caller
from server.requests import (
    AgentInput,
    CheckedInput,
    checked_inputs,
    idempotency_key,
    last_event_id,
    turn_request,
)

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 15.0
STALL_SECONDS = 30.0
# A server waits for its socket between two pieces: what it holds for a reader stays below 256 KiB.
PIECE_BYTES = 64 * 1024
END = b"event: end\n\n"
BEAT = b": still here\n\n"

Fields = dict[str, Any]


def old_names(agent: Agent) -> bool:
    """Whether callers still read the former names."""
    return agent.book[ServerSettings].event_fields == "old"


def event_namer(agent: Agent) -> Callable[[Fields], Fields] | None:
    """Renames an event; None where it goes out as it is."""
    return former if old_names(agent) else None


def named_reply(agent: Agent, output: Fields) -> Fields:
    """The output of a turn as it leaves."""
    return former_reply(output) if old_names(agent) else output


def named_run(agent: Agent, shown: Mapping[str, Any]) -> Fields:
    """A run as it leaves."""
    output = shown["output"]
    return {**shown, "output": named_reply(agent, output) if output else output}


def encode(entry: LoggedEvent) -> bytes:
    """One event: its number is the id, the whole of it one line of JSON."""
    return _data(entry.seq, entry.line)


def _data(seq: int, line: bytes) -> bytes:
    return b"id: %d\nevent: data\ndata: %b\n\n" % (seq, line)


def pieces_of(found: Iterable[bytes]) -> Iterator[bytes]:
    """Encoded events as they leave: as many together as fit into a piece; a larger one in several."""
    together, size = list[bytes](), 0
    for data in found:
        if size + len(data) > PIECE_BYTES:
            if together:
                yield b"".join(together)
            for start in range(0, len(data), PIECE_BYTES):
                yield data[start : start + PIECE_BYTES]
            together, size = [], 0
        else:
            together.append(data)
            size += len(data)
    if together:
        yield b"".join(together)


class Watch:
    """One timer for a stream, however much it sends: says when nothing was sent, and when nothing is taken.

    Args:
        heartbeat: Seconds of silence after which `silent` is called, each time.
        stall: Seconds that one send may take before `stalled` is called, once.
    """

    def __init__(
        self, heartbeat: float, stall: float, *, silent: Callable[[], object], stalled: Callable[[], object]
    ) -> None:
        self._heartbeat, self._stall = heartbeat, stall
        self._silent, self._stalled = silent, stalled
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._since: float | None = None
        self._timer = self._loop.call_later(min(heartbeat, stall), self._look)

    def begins(self) -> None:
        """Something is on its way to the reader."""
        self._since = self._loop.time()

    def taken(self) -> None:
        """The reader has it, or whoever buffers for it."""
        self._since = None
        self._last = self._loop.time()

    def close(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        if self._since is not None and now >= self._since + self._stall:
            self._stalled()
            return
        if self._since is None and now >= self._last + self._heartbeat:
            self._last = now
            self._silent()
        due = self._last + self._heartbeat if self._since is None else self._since + self._stall
        # Not later than either: what is sent next is not known yet.
        self._timer = self._loop.call_at(min(due, now + min(self._heartbeat, self._stall)), self._look)


class EventResponse(Response):
    """Server-sent events with heartbeats, for as long as there are any and somebody reads them.

    A reader that takes nothing for `stall` seconds is dropped: it can come back
    with the id of the last event that it has.

    Args:
        headers: Beside those that keep proxies from storing and holding back.
        heartbeat: Seconds between comments that keep proxies from closing a silent line.
        at_once: The stream begins before there is anything to send.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        headers: Mapping[str, str],
        *,
        heartbeat: float = HEARTBEAT_SECONDS,
        stall: float = STALL_SECONDS,
        at_once: bool = True,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", **headers})
        del self.headers["content-length"]
        self._heartbeat = heartbeat
        self._stall = stall
        self._at_once = at_once
        self._line = asyncio.Lock()
        self._beat: asyncio.Future[None] | None = None
        self._head_sent = self._stalled = False

    def encoded(self, found: Any) -> Iterable[bytes]:
        """Entries as this stream's readers want them."""
        parts: list[bytes] = found
        return parts

    def ending(self) -> Iterable[bytes]:
        """What stands behind the last event."""
        return [END]

    def left(self) -> None:
        """Nobody reads any more."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._at_once:
            await self._send_head(send)
        writer = await until_gone(self._write(send), receive, left=self._left)
        if not writer.cancelled() and not self._stalled:
            writer.result()

    async def _send_head(self, send: Send) -> None:
        self._head_sent = True
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

    def _left(self) -> None:
        if self._stalled:
            log.info("stream_reader_dropped", run_id=self.headers.get("x-run-id"))
        else:
            self.left()

    def _entries(self) -> AsyncIterator[Any]:
        """What is given to `encoded`, as much at once as there is."""
        raise NotImplementedError

    async def _write(self, send: Send) -> None:
        watch = self._watch(send)
        try:
            entries: Any = self._entries()
            async with aclosing(entries):
                async for found in entries:
                    await self._send(watch, send, self.encoded(found))
            await self._send(watch, send, [b"".join(self.ending())], more=False)
        finally:
            await self._end(watch)

    def _watch(self, send: Send) -> Watch:
        """Begins to watch the stream that this task writes."""
        me = asyncio.current_task()
        assert me is not None  # noqa: S101 - a coroutine that runs has one
        watch: Watch = Watch(
            self._heartbeat,
            self._stall,
            silent=lambda: self._begin_beat(watch, send, me),
            stalled=lambda: self._drop(me),
        )
        return watch

    async def _end(self, watch: Watch) -> None:
        watch.close()
        if self._beat is not None:
            self._beat.cancel()
            await asyncio.gather(self._beat, return_exceptions=True)

    def _begin_beat(self, watch: Watch, send: Send, writer: asyncio.Task[None]) -> None:
        if self._line.locked() or (self._beat is not None and not self._beat.done()):
            return
        self._beat = asyncio.ensure_future(self._send(watch, send, [BEAT]))
        # A line that is cut ends the stream also where there is nothing to tell.
        self._beat.add_done_callback(
            lambda beat: writer.cancel() if not beat.cancelled() and beat.exception() else None
        )

    def _drop(self, writer: asyncio.Task[None]) -> None:
        self._stalled = True
        writer.cancel()

    async def _send(self, watch: Watch, send: Send, data: Iterable[bytes], *, more: bool = True) -> None:
        async with self._line:  # no heartbeat between the pieces of an event
            if not self._head_sent:
                await self._send_head(send)
            # The last piece is one: an end is short.
            for piece in pieces_of(data) if more else data:
                watch.begins()
                await send({"type": "http.response.body", "body": piece, "more_body": more})
                watch.taken()


class RunResponse(EventResponse):
    """Streams a run until its last event; when the reader goes away, the run is left.

    Where it is dropped because it takes nothing, the run goes on.

    Args:
        after: Number of the last event that the reader has.
        renamed: Gives an event other names of its fields, see `event_namer`.
    """

    def __init__(
        self,
        run: Handle,
        *,
        after: int = 0,
        heartbeat: float = HEARTBEAT_SECONDS,
        stall: float = STALL_SECONDS,
        renamed: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        named = {"X-Run-ID": run.id, "X-Thread-ID": run.thread_id}
        super().__init__(named, heartbeat=heartbeat, stall=stall)
        self._run = run
        self._after = after
        self._renamed = renamed

    def encoded(self, found: Sequence[LoggedEvent]) -> Iterable[bytes]:
        """Events as this stream's readers want them; a protocol has words of its own."""
        shown = (entry for entry in found if entry.kind not in DETAILS)
        if self._renamed is None:
            return map(encode, shown)
        return [_data(entry.seq, line_of(self._renamed(entry.event))) for entry in shown]

    def left(self) -> None:
        self._run.leave()

    def _entries(self) -> AsyncIterator[Any]:
        return self._run.entries(self._after)


async def until_gone(
    writing: Coroutine[Any, Any, None], receive: Receive, *, left: Callable[[], object] = lambda: None
) -> asyncio.Task[None]:
    """Write until all is written or the client has gone; gives the task that wrote, which has ended.

    Args:
        left: Called when either has happened, or the caller was cancelled, before the writing ends.
    """
    writer, gone = asyncio.create_task(writing), asyncio.create_task(disconnected(receive))
    try:
        await asyncio.wait([writer, gone], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (writer, gone):
            task.cancel()
        left()
        await asyncio.gather(writer, gone, return_exceptions=True)
    return writer


async def disconnected(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def add_stream(router: APIRouter) -> None:
    """The route /agent/stream: LangServe's own would encode every event again."""

    @router.post("/agent/stream", include_in_schema=False)
    async def stream(
        request: Request,
        who: Caller,
        turns: Annotated[list[CheckedInput], Depends(checked_inputs(AgentInput))],
    ) -> Response:
        [(given, options)] = turns
        agent: Agent = request.app.state.agent
        key = idempotency_key(request.headers.get("idempotency-key"))
        after = last_event_id(request.headers.get("last-event-id"))
        handle = await agent.begin(turn_request(who, given, options.model_dump(), key=key))
        stall = agent.book[ServerSettings].stream_stall_seconds
        return RunResponse(handle, after=after, stall=stall, renamed=event_namer(agent))
