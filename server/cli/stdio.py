"""MCP on stdin and stdout: a line to the running service, or the agent in this process."""

# ruff: noqa: PLC0415 - what only one of the two ways needs is imported on that way
from __future__ import annotations

import asyncio
import os
import sys
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from core.errors import Unavailable
from server.cli.turns import reached
from server.private import send_line

# One more than is taken: what is longer is seen to be, and refused.
_LINE_BYTES = 4_194_304 + 2


async def serve(user: str, groups: Sequence[str], *, gateway: bool, here: bool) -> None:
    """Answer one client until it closes stdin.

    Raises:
        WaystationError: There is no agent to answer it.
    """
    with _stdout_for_messages() as out:
        lines = _stdin_lines()
        service = None if here else await reached(user, groups)
        if service is not None:
            await _through(*service, lines, out, gateway=gateway)
            return
        from server.cli.sessions import opened
        from server.protocols.mcp.lines import Conversation

        async def write(message: bytes) -> None:
            await asyncio.to_thread(_write, out, message + b"\n")

        async with opened(user, groups) as (agent, who):
            conversation = await Conversation.of(agent, who, write, gateway=gateway)
            await conversation.hold(lines)


@contextmanager
def _stdout_for_messages() -> Iterator[int]:
    """A descriptor of stdout for messages alone; whatever else prints, tool servers too, is on stderr."""
    sys.stdout.flush()
    out = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        yield out
    finally:
        os.dup2(out, sys.stdout.fileno())
        os.close(out)


async def _stdin_lines() -> AsyncIterator[bytes]:
    """Lines as they come. A thread reads them, since stdin may be a file, for which no loop waits."""
    loop, found = asyncio.get_running_loop(), asyncio.Queue[bytes](maxsize=1)

    def read() -> None:
        while True:
            line = sys.stdin.buffer.readline(_LINE_BYTES)
            try:
                asyncio.run_coroutine_threadsafe(found.put(line), loop).result()
            except (RuntimeError, asyncio.CancelledError):
                return  # the loop has ended before stdin did
            if not line:
                return

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while line := await found.get():
        yield line


async def _through(
    reader: StreamReader, writer: StreamWriter, lines: AsyncIterator[bytes], out: int, *, gateway: bool
) -> None:
    await send_line(writer, mcp=True, gateway=gateway)
    asking = asyncio.create_task(_ask(lines, writer))
    try:
        while line := await reader.readline():
            await asyncio.to_thread(_write, out, line)
        if not asking.done():
            raise Unavailable("the service has stopped; begin this server anew when it is back")
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        writer.close()


async def _ask(lines: AsyncIterator[bytes], writer: StreamWriter) -> None:
    async for line in lines:
        writer.write(line)
        await writer.drain()
    writer.write_eof()


def _write(out: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(out, rest) :]
