"""Opens sessions with real MCP servers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from mcp import ClientSession

from nodes.mcp_tools.adapters.connection import SessionConnection
from nodes.mcp_tools.adapters.environment import child_environment
from nodes.mcp_tools.adapters.remote import open_remote, speaks_sse
from nodes.mcp_tools.adapters.stdio import Command, stdio_streams
from nodes.mcp_tools.naming import file_stem
from nodes.mcp_tools.ports import Listener
from nodes.mcp_tools.settings import ServerEntry

LINE_FACTOR = 16  # a message may carry files beside its text


class SessionConnector:
    """Opens sessions with the servers of mcp.json.

    Args:
        logs: Folder for what servers write to stderr.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs

    @asynccontextmanager
    async def open(
        self, name: str, entry: ServerEntry, listener: Listener, *, max_result_bytes: int
    ) -> AsyncIterator[SessionConnection]:
        limit = LINE_FACTOR * max_result_bytes
        async with AsyncExitStack() as stack:
            if entry.transport == "stdio":
                yield await _local(stack, self._command(name, entry, limit), listener)
            else:
                yield await _remote(stack, entry, listener, limit)

    def _command(self, name: str, entry: ServerEntry, limit: int) -> Command:
        own = {key: value.get_secret_value() for key, value in (entry.env or {}).items()}
        return Command(
            argv=[entry.command or "", *entry.args],
            env=child_environment(os.environ, own),
            cwd=entry.cwd,
            log=self._logs / f"mcp-{file_stem(name)}.log",
            line_limit=limit,
        )


async def _local(stack: AsyncExitStack, command: Command, listener: Listener) -> SessionConnection:
    connection = SessionConnection(listener)
    streams = stdio_streams(command, connection.ears, connection.hearing)
    read, write, pid = await stack.enter_async_context(streams)
    session = await stack.enter_async_context(ClientSession(read, write, **connection.callbacks))
    stack.push_async_callback(connection.aclose)
    await connection.begin(session, pid)
    return connection


async def _remote(
    stack: AsyncExitStack, entry: ServerEntry, listener: Listener, limit: int
) -> SessionConnection:
    """Where streamable HTTP is refused, the protocol has a client try the older SSE."""
    try:
        return await _reached(stack, entry, listener, limit)
    except Exception as error:
        if entry.transport != "http" or not speaks_sse(error):
            raise
        older = entry.model_copy(update={"transport": "sse"})
        try:
            return await _reached(stack, older, listener, limit)
        except Exception:  # noqa: BLE001  # whatever it is: what was meant is what was refused before
            raise error from None


async def _reached(
    stack: AsyncExitStack, entry: ServerEntry, listener: Listener, limit: int
) -> SessionConnection:
    def lost(reason: str) -> None:
        if connection.open:  # before that it is an error of the opening, which may be tried in another way
            listener.lost(reason)

    connection = SessionConnection(Listener(listener.changed, lost))
    async with AsyncExitStack() as own:
        remote = open_remote(entry, connection.callbacks, connection.hearing, lost, limit)
        session = await own.enter_async_context(remote)
        own.push_async_callback(connection.aclose)
        await connection.begin(session, None)
        stack.push_async_exit(own.pop_all())
    return connection
