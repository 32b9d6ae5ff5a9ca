"""Where `waystation ask` has its turn: in the service that runs already, or in this process."""

# ruff: noqa: PLC0415 - what only one of the two ways needs is imported on that way
from __future__ import annotations

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from core import sockets
from core.callers import is_user
from core.errors import InvalidInput, Unavailable
from server.cli.sessions import opened, quiet
from server.private import CHUNK_BYTES, LINE_BYTES, error_in, mark_of, read_line, send_line, socket_in

if TYPE_CHECKING:
    from core.access import Principal
    from graph.agent import Agent

# A service that does not greet in this time is not asked.
GREETING_SECONDS = 2.0


class TurnRun(Protocol):
    """A run, wherever it goes on."""

    def events(self) -> AsyncIterator[dict[str, Any]]: ...

    async def result(self) -> dict[str, Any]: ...

    def leave(self) -> None: ...


class Turns(Protocol):
    """Has turns for somebody."""

    async def upload(self, path: Path) -> str:
        """Store a file; gives its key."""

    async def begin(self, words: Mapping[str, Any]) -> TurnRun:
        """Begin a turn, see `server.owner.request_of`."""

    async def resume(self, run_id: str, answer: Any) -> TurnRun:
        """Go on with a run."""


@asynccontextmanager
async def opened_turns(user: str, groups: Sequence[str] = (), *, here: bool = False) -> AsyncIterator[Turns]:
    """Turns of the service that stands at this home with this configuration, else of this process.

    Args:
        here: Of this process in any case.

    Raises:
        WaystationError: Neither is there.
    """
    found = None if here else await reached(user, groups)
    if found is not None:
        service = ServiceTurns(*found)
        try:
            yield service
        finally:
            service.close()
        return
    quiet()
    async with opened(user, groups) as (agent, who):
        yield LocalTurns(agent, who)


async def reached(user: str, groups: Sequence[str]) -> tuple[StreamReader, StreamWriter] | None:
    """The line to the service that stands at this home with this configuration; says on stderr what it is."""
    from core.settings import Context

    context = Context.current()
    path = socket_in(context.places.home)
    if not sockets.AVAILABLE or not path.exists() or (user and not is_user(user)):
        return None
    try:
        with sockets.address(path) as where:
            reader, writer = await asyncio.open_unix_connection(where, limit=LINE_BYTES)
    except OSError:
        return None
    try:
        async with asyncio.timeout(GREETING_SECONDS):
            await send_line(writer, mark=mark_of(context), user=user, groups=list(groups))
            greeting = await read_line(reader)
    except OSError:  # a timeout is one too
        greeting = None
    if greeting is None:
        writer.close()
        print("the running service does not answer for this configuration: asked here", file=sys.stderr)
        return None
    print(f"through the service at {greeting['url']}; --here asks in this process", file=sys.stderr)
    return reader, writer


class ServiceTurns:
    """Turns of the running service."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def upload(self, path: Path) -> str:
        _exists(path)
        await send_line(self._writer, upload=path.name)
        with path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                await send_line(self._writer, bytes=len(chunk))
                self._writer.write(chunk)
        await send_line(self._writer, bytes=0)
        return str((await self._answer())["key"])

    async def begin(self, words: Mapping[str, Any]) -> TurnRun:
        await send_line(self._writer, begin=words)
        return _ServiceRun(self._answer)

    async def resume(self, run_id: str, answer: Any) -> TurnRun:
        await send_line(self._writer, resume=run_id, answer=answer)
        return _ServiceRun(self._answer)

    def close(self) -> None:
        self._writer.close()

    async def _answer(self) -> dict[str, Any]:
        words = await read_line(self._reader)
        if words is None:
            raise Unavailable("the service has stopped; what it was asked goes on when it is back")
        if "error" in words:
            raise error_in(words["error"])
        return words


class _ServiceRun:
    """A run of the service, as it tells of it."""

    def __init__(self, answer: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._answer = answer
        self._reply: dict[str, Any] = {}

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        while "event" in (words := await self._answer()):
            yield words["event"]
        self._reply = words["reply"]

    async def result(self) -> dict[str, Any]:
        """The reply; the events have been read before."""
        return self._reply

    def leave(self) -> None:
        """The service sees by itself that nobody follows any more."""


class LocalTurns:
    """Turns of this process."""

    def __init__(self, agent: Agent, who: Principal) -> None:
        self._agent = agent
        self._who = who

    async def upload(self, path: Path) -> str:
        from nodes.file_storage import FileManager

        _exists(path)
        files = await self._agent.container.get(FileManager)
        return (await files.put(self._who, path.name, _chunks(path))).key

    async def begin(self, words: Mapping[str, Any]) -> TurnRun:
        from server.owner import request_of

        return await self._agent.begin(request_of(self._who, words))

    async def resume(self, run_id: str, answer: Any) -> TurnRun:
        return await self._agent.resume(self._who, run_id, answer)


def _exists(path: Path) -> None:
    if not path.is_file():
        raise InvalidInput(f"there is no file '{path.name}'")


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
