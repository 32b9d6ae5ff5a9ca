"""The running service for its own user here: `waystation ask` comes in at this door, see `server.private`."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import structlog

from core import sockets
from core.access import Principal
from core.callers import is_user
from core.choices import Choices
from core.errors import InvalidInput, WaystationError
from core.identity.authenticator import local_principal
from core.settings.auth import AuthSettings
from graph.agent import Agent
from graph.runs.record import TurnRequest
from graph.runs.streams import Handle
from nodes.file_storage import FileManager
from server.private import LINE_BYTES, mark_of, problem_in, read_line, send_line, socket_in

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_to_owner(agent: Agent, url: str) -> AsyncIterator[None]:
    """Within the block, this user's commands are answered; of several processes on a home, by the first.

    Args:
        url: What a command says that it went through.
    """
    path = socket_in(agent.book.context.places.home)
    with ExitStack() as stack:
        if not sockets.AVAILABLE or not stack.enter_context(sockets.alone(path.with_suffix(".lock"))):
            yield
            return
        door = _Door(agent, url)
        try:
            listener = stack.enter_context(sockets.listening(path))
            server = await asyncio.start_unix_server(door.answer, sock=listener, limit=LINE_BYTES)
        except OSError as error:
            log.warning("no_socket_for_commands", why=str(error.strerror))
            yield
            return
        try:
            yield
        finally:
            server.close()
            await door.aclose()


class _Door:
    def __init__(self, agent: Agent, url: str) -> None:
        self._agent = agent
        self._url = url
        self._mark = mark_of(agent.book.context)
        self._going: set[asyncio.Task[Any]] = set()

    def answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One command, until it leaves."""
        task = asyncio.create_task(self._answer(reader, writer))
        self._going.add(task)
        task.add_done_callback(self._going.discard)

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            hello = await read_line(reader) if sockets.of_this_user(writer.get_extra_info("socket")) else None
            if hello and hello.get("mark") == self._mark and not self._agent.draining:
                await self._converse(hello, reader, writer)
        except (OSError, EOFError, ValueError):
            pass  # it has left, or we have to
        finally:
            writer.close()

    async def aclose(self) -> None:
        tasks = tuple(self._going)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _converse(self, hello: Mapping[str, Any], reader: StreamReader, writer: StreamWriter) -> None:
        user = str(hello.get("user") or "")
        if user and not is_user(user):
            return
        groups = [str(group) for group in hello.get("groups") or ()]
        who = local_principal(self._agent.book[AuthSettings], user, groups or None)
        await send_line(writer, url=self._url)
        while (words := await read_line(reader)) is not None:
            if "mcp" in words:
                await _mcp(self._agent, who, words, reader, writer)
                return
            try:
                if "upload" in words:
                    await send_line(writer, key=await self._upload(who, str(words["upload"]), reader))
                else:
                    await _followed(await self._begun(who, words), reader, writer)
            except WaystationError as error:
                await send_line(writer, error=problem_in(error))

    async def _begun(self, who: Principal, words: Mapping[str, Any]) -> Handle:
        if "resume" in words:
            return await self._agent.resume(who, str(words["resume"]), words.get("answer"))
        return await self._agent.begin(request_of(who, words.get("begin")))

    async def _upload(self, who: Principal, name: str, reader: StreamReader) -> str:
        chunks = _Chunks(reader)
        files = await self._agent.container.get(FileManager)
        try:
            return (await files.put(who, name, chunks.each())).key
        finally:
            await chunks.drain()


async def _mcp(
    agent: Agent, who: Principal, words: Mapping[str, Any], reader: StreamReader, writer: StreamWriter
) -> None:
    """From here on the lines are those of MCP, to the last one."""
    # A command that takes a turn by itself reads requests with this file, and needs no web framework.
    from server.protocols.mcp.lines import Conversation  # noqa: PLC0415

    async def write(message: bytes) -> None:
        writer.write(message + b"\n")
        await writer.drain()

    conversation = await Conversation.of(agent, who, write, gateway=bool(words.get("gateway")))
    await conversation.hold(reader)


class _Chunks:
    """A file as it comes. All of it is read, whatever becomes of it: behind it comes the next request."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader
        self._over = False

    async def each(self) -> AsyncIterator[bytes]:
        while chunk := await self._next():
            yield chunk

    async def drain(self) -> None:
        while await self._next():
            pass

    async def _next(self) -> bytes:
        if self._over:
            return b""
        words = await read_line(self._reader) or {}
        size = words.get("bytes")
        chunk = await self._reader.readexactly(size) if isinstance(size, int) and size > 0 else b""
        self._over = not chunk
        return chunk


def request_of(who: Principal, words: object) -> TurnRequest:
    """A request in the words of the command.

    Raises:
        InvalidInput: They are none.
    """
    if not isinstance(words, Mapping):
        raise InvalidInput("the request is no object")
    return TurnRequest(
        principal=who,
        message=str(words.get("message") or ""),
        files=tuple(map(str, words.get("files") or ())),
        resume=words.get("resume"),
        thread_id=words.get("thread"),
        choices=Choices.of(words.get("choices") or {}),
    )


async def _followed(run: Handle, reader: StreamReader, writer: StreamWriter) -> None:
    """Tell a run to its end; a command that leaves meanwhile leaves the run."""
    telling = asyncio.create_task(_tell_run(run, writer))
    gone = asyncio.create_task(reader.read(1))
    try:
        await asyncio.wait({telling, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        telling_is_over = telling.done()
        for task in (telling, gone):
            task.cancel()
        await asyncio.gather(telling, gone, return_exceptions=True)
        run.leave()
    if not telling_is_over:
        raise ConnectionResetError
    telling.result()


async def _tell_run(run: Handle, writer: StreamWriter) -> None:
    async for event in run.events():
        await send_line(writer, event=event)
    await send_line(writer, reply=await run.result())
