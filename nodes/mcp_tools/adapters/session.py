"""Opens sessions with real MCP servers; the one file that knows langchain-mcp-adapters."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_mcp_adapters.sessions import create_session
from mcp import ClientSession

from core import sockets
from nodes.mcp_tools.adapters.connection import SessionConnection
from nodes.mcp_tools.adapters.http import McpClient
from nodes.mcp_tools.adapters.stdio import Command, Streams, stdio_streams
from nodes.mcp_tools.calls import file_stem
from nodes.mcp_tools.errors import StatusRefused
from nodes.mcp_tools.plugins import HOST, bundled_name
from nodes.mcp_tools.ports import Listener
from nodes.mcp_tools.reasons import root_of
from nodes.mcp_tools.settings import ServerEntry

if TYPE_CHECKING:
    from nodes.mcp_tools.adapters.host import BundledHost

LINE_FACTOR = 16  # a message may carry files beside its text
# With these an endpoint of the older transport refuses a message of the newer one.
_OLDER = frozenset({400, 404, 405})
_QUIET = 24 * 3600.0  # a session may be silent for long; calls have a time limit of their own

_PEOPLE = ("HOME", "LOGNAME", "SHELL", "TERM", "USER", "USERNAME", "USERPROFILE")
_PLACES = ("LANG", "LANGUAGE", "PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TEMP", "TMP", "TMPDIR", "TZ")
_WINDOWS = ("APPDATA", "COMSPEC", "LOCALAPPDATA", "PATHEXT", "SYSTEMDRIVE", "SYSTEMROOT")
_ALLOWED = frozenset({*_PEOPLE, *_PLACES, *_WINDOWS})


class SessionConnector:
    """Opens sessions with the servers of mcp.json.

    Args:
        logs: Folder for what servers write to stderr.
        host: Serves the bundled servers; without one each is a process of its own.
    """

    def __init__(self, logs: Path, host: BundledHost | None = None) -> None:
        self._logs = logs
        self._host = host

    @asynccontextmanager
    async def open(
        self, name: str, entry: ServerEntry, listener: Listener, *, max_result_bytes: int
    ) -> AsyncIterator[SessionConnection]:
        limit = LINE_FACTOR * max_result_bytes
        async with AsyncExitStack() as stack:
            if entry.transport != "stdio":
                yield await _remote(stack, entry, listener, limit)
                return
            bundled = bundled_name(entry)
            command = self._command(name, entry, limit)
            if self._host is not None and bundled:
                yield await _hosted(stack, self._host, bundled, command, listener)
            else:
                yield await _local(stack, command, listener)

    def _command(self, name: str, entry: ServerEntry, limit: int) -> Command:
        own = {key: value.get_secret_value() for key, value in (entry.env or {}).items()}
        return Command(
            argv=[entry.command or "", *entry.args],
            env=child_environment(os.environ, own),
            cwd=entry.cwd,
            log=self._logs / f"mcp-{file_stem(name)}.log",
            line_limit=limit,
        )


def connector(home: Path) -> SessionConnector:
    """For a service with this home: bundled servers share a process, where the system has Unix sockets."""
    logs = home / "logs"
    if not sockets.AVAILABLE or not HOST.is_file():
        return SessionConnector(logs)
    from nodes.mcp_tools.adapters.host import BundledHost  # noqa: PLC0415 - not for every system

    # It needs no plugins of pydantic, and looking for some costs as much as all its tools.
    environment = child_environment(os.environ, {"PYDANTIC_DISABLE_PLUGINS": "__all__"})
    return SessionConnector(logs, BundledHost(HOST, state=home / "state", logs=logs, env=environment))


def child_environment(ours: Mapping[str, str], entry: Mapping[str, str]) -> dict[str, str]:
    """Nothing secret passes: keys, PYTHONPATH and the rest of `ours` stay with us."""
    passed = {k: v for k, v in ours.items() if k.upper() in _ALLOWED or k.startswith("LC_")}
    return {**passed, **entry}


async def _local(stack: AsyncExitStack, command: Command, listener: Listener) -> SessionConnection:
    connection = SessionConnection(listener)
    streams = stdio_streams(command, connection.incoming, said=connection.said, lost=listener.lost)
    return await _begun(stack, connection, streams)


async def _hosted(
    stack: AsyncExitStack, host: BundledHost, bundled: str, command: Command, listener: Listener
) -> SessionConnection:
    from nodes.mcp_tools.adapters.host import hosted_streams  # noqa: PLC0415 - not for every system

    connection = SessionConnection(listener)
    streams = hosted_streams(
        host,
        bundled,
        connection.incoming,
        log=command.log,
        line_limit=command.line_limit,
        said=connection.said,
        lost=listener.lost,
    )
    return await _begun(stack, connection, streams)


async def _begun(
    stack: AsyncExitStack,
    connection: SessionConnection,
    streams: AbstractAsyncContextManager[Streams],
) -> SessionConnection:
    read, write, pid, line = await stack.enter_async_context(streams)
    session = await stack.enter_async_context(ClientSession(read, write, **connection.callbacks))
    stack.push_async_callback(connection.aclose)
    await connection.begin(session, pid, line)
    return connection


async def _remote(
    stack: AsyncExitStack, entry: ServerEntry, listener: Listener, limit: int
) -> SessionConnection:
    """Where streamable HTTP is refused, the protocol has a client try the older SSE."""
    try:
        return await _reached(stack, entry, listener, limit)
    except Exception as error:
        cause = root_of(error)
        refused = isinstance(cause, StatusRefused) and cause.status in _OLDER
        if entry.transport != "http" or not refused:
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
        session = await own.enter_async_context(_http_session(entry, connection, lost, limit))
        own.push_async_callback(connection.aclose)
        await connection.begin(session, None)
        stack.push_async_exit(own.pop_all())
    return connection


def _http_session(
    entry: ServerEntry, connection: SessionConnection, lost: Callable[[str], None], limit: int
) -> AbstractAsyncContextManager[ClientSession]:
    """A session of the SDK that has not been initialised."""
    older = entry.transport == "sse"

    def client(**options: Any) -> McpClient:
        return McpClient(connection.incoming, lost, limit, in_body=not older, **options)

    settings: Any = {
        "transport": "sse" if older else "streamable_http",
        "url": entry.url or "",
        "headers": headers_of(entry),
        "sse_read_timeout": _QUIET,
        "session_kwargs": connection.callbacks,
        "httpx_client_factory": client,
    }
    return create_session(settings)


def headers_of(entry: ServerEntry) -> dict[str, str]:
    """What is sent with every request: the entry's headers and its credentials."""
    headers = {key: value.get_secret_value() for key, value in (entry.headers or {}).items()}
    if entry.auth_token is not None:
        token = entry.auth_token.get_secret_value()
        if entry.auth_type == "api_key":
            headers[entry.auth_header] = token
        else:
            headers["Authorization"] = f"Bearer {token}"
    return headers
