"""The process that serves the bundled servers, `tools/host.py`: there from the first session to the last.

It is one process for all of them, and for all workers of a service. A session that does not end when it is
left is stuck, and so is the process: it is killed, and each session in it is opened again.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import multiprocessing
import os
import signal
import sys
import uuid
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import anyio
import orjson
from mcp.shared.message import SessionMessage

from core import sockets
from core.foreign import clean_text, without_folders
from nodes.mcp_tools.adapters.messages import Incoming, LineCutter
from nodes.mcp_tools.adapters.process import child_process
from nodes.mcp_tools.adapters.stdio import (
    BoundedLog,
    Printing,
    Streams,
    ending_of,
    pieces,
    read_messages,
    write_messages,
)
from nodes.mcp_tools.errors import ServerGone

GREETING_SECONDS = 10.0
GRACE_SECONDS = 1.5
_LOOK_AGAIN_SECONDS = 0.01
# There the kernel ends it with us, whatever it is doing, and nobody has to watch over it.
_ENDS_ITSELF = sys.platform == "linux"
_SILENT = "the process of the bundled servers does not answer"
_ELSEWHERE = "the process of the bundled servers ended"
_LEFT = "it ended the session"
_SAID_CHARS = 400
_NOTHING = "the process of the bundled servers ended before it answered"


@dataclass(frozen=True, slots=True)
class Link:
    """A connection to one server of the host."""

    reader: StreamReader
    writer: StreamWriter
    pid: int


class BundledHost:
    """The host of this process, or of all workers of a service.

    Args:
        script: `host.py` in the folder of the servers.
        state: Folder for its socket.
        logs: Folder for what it prints itself; what a server prints is in that server's log.
        env: Its environment.
    """

    def __init__(self, script: Path, *, state: Path, logs: Path, env: Mapping[str, str]) -> None:
        self._script = script
        self._state = state
        self._socket = state / f"tools-{_family()}.sock"
        self._logs = logs
        self._env = env
        self._sessions = 0
        self._process: Process | None = None
        self._owner: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._ended = _ELSEWHERE
        # The last line that it printed itself.
        self._printed = ""
        self._changing = asyncio.Lock()

    @asynccontextmanager
    async def session(self, server: str) -> AsyncIterator[Link]:
        """A connection to one of its servers; the process is started where it is not there yet.

        Raises:
            OSError: It cannot be started.
            ServerGone: It did not answer, or has no such server.
        """
        self._sessions += 1
        try:
            link = await self._connected(server)
            try:
                yield link
            finally:
                with anyio.CancelScope(shield=True):
                    await self._leave(link)
        finally:
            self._sessions -= 1
            with anyio.CancelScope(shield=True):
                async with self._changing:
                    if not self._sessions:
                        await self._end()

    async def ending(self) -> str:
        """Why a connection came to its end: how the process ended, as far as this one can know it."""
        if self._process is None:
            return self._ended
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                return ending_of(await self._process.wait())
        except TimeoutError:
            return _LEFT

    async def _connected(self, server: str) -> Link:
        async with self._changing:
            reader, writer = await self._reached()
        greeting = b""
        try:
            # One that is gone before it answers is asked why elsewhere.
            async with asyncio.timeout(GREETING_SECONDS):
                with suppress(ConnectionError):
                    writer.write(orjson.dumps({"server": server}) + b"\n")
                    greeting = await reader.readline()
            return Link(reader, writer, _pid_in(greeting or await self._silence()))
        except BaseException as error:
            writer.close()
            if not isinstance(error, TimeoutError):
                raise
            if self._process is not None:
                _kill(self._process.pid)
            raise ServerGone(_SILENT, sent=False) from error

    async def _reached(self) -> tuple[StreamReader, StreamWriter]:
        with suppress(OSError):
            return await self._dialled()
        async with _alone(self._state):
            with suppress(OSError):  # another worker was faster
                return await self._dialled()
            await self._end()
            await self._start()
            try:
                return await self._dialled()
            except OSError as error:
                _pid_in(await self._silence())
                raise ServerGone(_NOTHING, sent=False) from error

    async def _silence(self) -> bytes:
        """In place of an answer: what the process has printed last, where it ended before it gave one."""
        if self._owner is not None:
            await asyncio.wait({self._owner}, timeout=GRACE_SECONDS)
        return orjson.dumps({"error": f"{_NOTHING}: {self._printed}"}) if self._printed else b""

    async def _dialled(self) -> tuple[StreamReader, StreamWriter]:
        with sockets.address(self._socket) as where:
            return await asyncio.open_unix_connection(where)

    async def _start(self) -> None:
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stop, self._ended, self._printed = asyncio.Event(), _ELSEWHERE, ""
        # A task of its own, which belongs to no session: the first may be over long before the process is.
        self._owner = asyncio.create_task(self._own(started), context=contextvars.Context())
        await asyncio.wait({self._owner, started}, return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            await self._owner  # raises what it failed with

    async def _own(self, started: asyncio.Future[None]) -> None:
        """The process from its start to its end: its own, or ours for it."""
        with sockets.listening(self._socket) as listener:
            handle = listener.fileno()
            argv = [sys.executable, str(self._script), str(handle)]
            folder = self._script.parent
            child = child_process(argv, env=self._env, cwd=folder, keep=[handle], watched=not _ENDS_ITSELF)
            async with child as process:
                listener.close()  # only the process listens now: when it is gone, nobody can connect
                self._process = process
                started.set_result(None)
                try:
                    await self._until_over(process)
                finally:
                    self._process = None
                    if process.returncode is not None:
                        self._ended = ending_of(process.returncode)

    async def _until_over(self, process: Process) -> None:
        log = BoundedLog(self._logs / "tools-host.log")
        waits = [asyncio.create_task(process.wait()), asyncio.create_task(self._stop.wait())]
        kept = asyncio.create_task(self._kept(process.stderr, log))
        waits_for = [*waits, kept]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if process.returncode is not None:
                await asyncio.wait([kept], timeout=GRACE_SECONDS)  # what it printed last says why
        finally:
            for each in waits_for:
                each.cancel()
            await asyncio.gather(*waits_for, return_exceptions=True)
            log.close()

    async def _kept(self, printed: StreamReader | None, log: BoundedLog) -> None:
        async for chunk in pieces(printed):
            log.write(chunk)
            lines = chunk.decode("utf-8", "replace").split("\n")
            self._printed = next((line.strip() for line in reversed(lines) if line.strip()), self._printed)

    async def _end(self) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            self._stop.set()
            await asyncio.wait({owner})

    async def _leave(self, link: Link) -> None:
        """A session that is well ends when we leave it; another one keeps the whole process."""
        try:
            link.writer.write_eof()
            async with asyncio.timeout(GRACE_SECONDS):
                async for _ in pieces(link.reader):
                    pass
        except TimeoutError:
            _kill(link.pid)
        except (OSError, RuntimeError):
            pass  # it is gone already
        finally:
            link.writer.close()


@asynccontextmanager
async def hosted_streams(
    host: BundledHost,
    server: str,
    incoming: Incoming,
    *,
    log: Path,
    line_limit: int,
    said: Callable[[str], None],
    lost: Callable[[str], None],
) -> AsyncIterator[Streams]:
    """The streams of a session with a bundled server; the process is the host's.

    Args:
        log: File for what the server prints.
        line_limit: Longest JSON-RPC message that is read, in bytes.
        said: Told of each line that the server prints.
        lost: Told that the host has ended, and how.

    Raises:
        OSError, ServerGone: As `BundledHost.session`.
    """
    to_session, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, from_session = anyio.create_memory_object_stream[SessionMessage](0)
    printed = BoundedLog(log)
    try:
        async with (
            to_session,
            read,
            write,
            from_session,
            host.session(server) as link,
            anyio.create_task_group() as pumps,
        ):
            lines, stray = LineCutter(line_limit), Printing(incoming, printed, said)

            async def over() -> None:
                lost(await host.ending())

            pumps.start_soon(read_messages, link.reader, to_session, lines, stray, over)
            pumps.start_soon(write_messages, link.writer, from_session)
            yield read, write, link.pid, link.writer
            pumps.cancel_scope.cancel()
    finally:
        printed.close()


@asynccontextmanager
async def _alone(state: Path) -> AsyncIterator[None]:
    """One process at a time starts a host here; sockets that were left behind go."""
    with _lock_file(state) as lock:
        while not sockets.try_lock(lock.fileno()):  # noqa: ASYNC110 - another process has it
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        _sweep(state)
        yield


def _lock_file(state: Path) -> BinaryIO:
    state.mkdir(parents=True, exist_ok=True)
    return (state / "tools.lock").open("ab")


def _sweep(state: Path) -> None:
    for path in state.glob("tools-*.sock"):
        if sockets.refused(path):
            path.unlink(missing_ok=True)


def _pid_in(greeting: bytes) -> int:
    try:
        said = orjson.loads(greeting)
        if "error" in said:
            reason = without_folders(clean_text(str(said["error"])))
            raise ServerGone(f"it cannot be loaded: {reason}"[:_SAID_CHARS], sent=False)
        return int(said["pid"])
    except (ValueError, KeyError, TypeError) as error:
        raise ServerGone(_NOTHING, sent=False) from error


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _family() -> str:
    """The same in all workers of a service, and in no other process."""
    if multiprocessing.parent_process() is None:
        return uuid.uuid4().hex[:12]
    return hashlib.sha256(multiprocessing.current_process().authkey).hexdigest()[:12]
