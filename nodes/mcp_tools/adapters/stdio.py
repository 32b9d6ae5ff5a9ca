"""The stdio transport: JSON-RPC lines between a child process and an mcp session.

Written here because the SDK's transport sends a server's stderr into ours,
and reads in quadratic time without a limit.
"""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage

from nodes.mcp_tools.adapters.messages import Incoming, LineCutter, Message, Oversize
from nodes.mcp_tools.adapters.process import child_process

# Before a line of the host that a server printed.
_PRINTED = b"#"

_CHUNK = 65_536
_GONE = (anyio.ClosedResourceError, anyio.BrokenResourceError)

ReadStream = MemoryObjectReceiveStream[SessionMessage | Exception]
WriteStream = MemoryObjectSendStream[SessionMessage]
Streams = tuple[ReadStream, WriteStream, int, StreamWriter]
"""What a session reads and writes, the process id, and where a line can be written past the session."""
LOG_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, and how much of it to listen to.

    Args:
        line_limit: Longest JSON-RPC message that is read, in bytes.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path | None
    log: Path
    line_limit: int


@asynccontextmanager
async def stdio_streams(
    command: Command, incoming: Incoming, *, said: Callable[[str], None], lost: Callable[[str], None]
) -> AsyncIterator[Streams]:
    """The streams of a session.

    Args:
        said: Told of each line of stderr.
        lost: Told that the process has ended, and how.

    Raises:
        OSError: The command cannot be started.
    """
    to_session, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, from_session = anyio.create_memory_object_stream[SessionMessage](0)
    log = BoundedLog(command.log)
    try:
        async with to_session, read, write, from_session, anyio.create_task_group() as pumps:
            async with child_process(command.argv, env=command.env, cwd=command.cwd) as process:
                lines = LineCutter(command.line_limit)
                pumps.start_soon(read_messages, process.stdout, to_session, lines, Stray(incoming, log))
                pumps.start_soon(write_messages, process.stdin, from_session)
                pumps.start_soon(_listen, process, log, said)
                pumps.start_soon(_watch, process, lost)
                assert process.stdin is not None  # noqa: S101 - it was started with one
                yield read, write, process.pid, process.stdin
            pumps.cancel_scope.cancel()
    finally:
        log.close()


class Stray:
    """Reads lines of a server: messages for the session, and what else there is for its log."""

    def __init__(self, incoming: Incoming, log: BoundedLog) -> None:
        self._incoming = incoming
        self._log = log

    def end(self) -> None:
        """Nothing more comes."""
        self._incoming.end()

    def messages(self, line: bytes | Oversize) -> list[Message]:
        if isinstance(line, Oversize):
            return self._incoming.oversize(line)
        found = self._incoming.read(line)
        if not found and line.strip() and not line.lstrip().startswith((b"{", b"[")):
            # Servers print to stdout although they must not.
            self._log.write(b"[stdout] " + line[:2000] + b"\n")
        return found


class Printing(Stray):
    """Lines of the host: what a server printed is marked there."""

    def __init__(self, incoming: Incoming, log: BoundedLog, said: Callable[[str], None]) -> None:
        super().__init__(incoming, log)
        self._said = said

    def messages(self, line: bytes | Oversize) -> list[Message]:
        if isinstance(line, Oversize) or not line.startswith(_PRINTED):
            return super().messages(line)
        self._log.write(line[1:] + b"\n")
        self._said(line[1:].decode("utf-8", "replace"))
        return []


async def read_messages(
    reader: StreamReader | None,
    to_session: MemoryObjectSendStream[SessionMessage | Exception],
    lines: LineCutter,
    stray: Stray,
    over: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Give a session what comes, until the end of it; then do what is to be done `over` that."""
    try:
        with suppress(*_GONE):
            async with to_session:  # its end tells the session that nothing more comes
                async for chunk in pieces(reader):
                    for line in lines.feed(chunk):
                        for message in stray.messages(line):
                            await to_session.send(SessionMessage(JSONRPCMessage.model_validate(message)))
    finally:
        stray.end()
    if over is not None:
        await over()


async def write_messages(
    writer: StreamWriter | None, from_session: MemoryObjectReceiveStream[SessionMessage]
) -> None:
    """Send what a session says, a line each."""
    if writer is None:
        return
    with suppress(*_GONE, ConnectionError):
        async for item in from_session:
            text = item.message.model_dump_json(by_alias=True, exclude_none=True)
            writer.write(text.encode() + b"\n")
            await writer.drain()


async def _listen(process: Process, log: BoundedLog, said: Callable[[str], None]) -> None:
    lines = LineCutter(_CHUNK)
    async for chunk in pieces(process.stderr):
        log.write(chunk)
        for line in lines.feed(chunk):
            if isinstance(line, bytes):
                said(line.decode("utf-8", "replace"))


async def _watch(process: Process, lost: Callable[[str], None]) -> None:
    # Whoever cancels the session ends the process first, and how it ended is told all the same.
    with anyio.CancelScope(shield=True):
        lost(ending_of(await process.wait()))


def ending_of(code: int) -> str:
    """How a process ended, in words."""
    return f"its process was ended by signal {-code}" if code < 0 else f"its process exited with code {code}"


async def pieces(stream: StreamReader | None) -> AsyncIterator[bytes]:
    """What comes, as it comes, until its end."""
    while stream is not None:
        chunk = await stream.read(_CHUNK)
        if not chunk:
            return
        yield chunk


class BoundedLog:
    """Appends to `path`; a full file becomes `<path>.1`, replacing the one before.

    Args:
        limit: Largest size of each of the two files, in bytes.
    """

    def __init__(self, path: Path, *, limit: int = LOG_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._limit = limit
        self._file: BinaryIO = path.open("ab")
        self._size = self._file.tell()

    def write(self, data: bytes) -> None:
        data = data[-self._limit :]
        if self._size + len(data) > self._limit:
            self._rotate()
        self._file.write(data)
        self._file.flush()
        self._size += len(data)

    def close(self) -> None:
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._file = self._path.open("wb")
        self._size = 0
