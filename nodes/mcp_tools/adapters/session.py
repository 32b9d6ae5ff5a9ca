"""Sessions with real MCP servers: our stdio transport, and langchain-mcp-adapters for http and sse."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx
import orjson
from langchain_mcp_adapters.sessions import (
    Connection,
    McpHttpClientFactory,
    SSEConnection,
    StreamableHttpConnection,
    create_session,
)
from mcp import ClientSession, McpError, types
from mcp.shared.context import RequestContext
from mcp.shared.session import ProgressFnT
from mcp.shared.version import SUPPORTED_PROTOCOL_VERSIONS

from core.observability import inject
from nodes.mcp_tools.adapters.contents import call_result
from nodes.mcp_tools.adapters.environment import child_environment
from nodes.mcp_tools.adapters.http import http_client
from nodes.mcp_tools.adapters.lingering import Lingering
from nodes.mcp_tools.adapters.questions import Call, Questions
from nodes.mcp_tools.adapters.stdio import OVERSIZE, Command, Ears, stdio_streams
from nodes.mcp_tools.errors import ResultTooLarge, ServerGone, ToolRefused
from nodes.mcp_tools.models import Ask, CallResult, Progress, ToolInfo
from nodes.mcp_tools.naming import file_stem
from nodes.mcp_tools.ports import Listener
from nodes.mcp_tools.settings import ServerEntry

LINE_FACTOR = 16  # a message may carry files beside its text
_UPDATE = "MCP_UPDATE:"
_MAX_PAGES = 100
_SESSION_ENDED = 32600  # what the SDK answers when an http server has forgotten the session
_ABILITIES = types.ClientCapabilities(
    elicitation=types.ElicitationCapability(form=types.FormElicitationCapability())
)
_CLIENT = types.Implementation(name="waystation", version="0.1.0")


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
        async with AsyncExitStack() as stack:
            connection = SessionConnection(listener)
            if entry.transport == "stdio":
                command = self._command(name, entry, max_result_bytes)
                read, write, pid = await stack.enter_async_context(stdio_streams(command, connection.ears))
                opened = ClientSession(read, write, **connection.callbacks)
                session = await stack.enter_async_context(opened)
            else:
                pid = None
                client = connection.questions.origins.client
                remote = _remote(entry, connection.callbacks, client)
                session = await stack.enter_async_context(create_session(remote))
            stack.push_async_callback(connection.aclose)
            await connection.begin(session, pid)
            yield connection

    def _command(self, name: str, entry: ServerEntry, max_result_bytes: int) -> Command:
        own = {key: value.get_secret_value() for key, value in (entry.env or {}).items()}
        return Command(
            argv=[entry.command or "", *entry.args],
            env=child_environment(os.environ, own),
            cwd=entry.cwd,
            log=self._logs / f"mcp-{file_stem(name)}.log",
            line_limit=LINE_FACTOR * max_result_bytes,
        )


def _remote(
    entry: ServerEntry, callbacks: dict[str, Any], client: McpHttpClientFactory = http_client
) -> Connection:
    headers = {key: value.get_secret_value() for key, value in (entry.headers or {}).items()}
    if entry.auth_token is not None:
        token = entry.auth_token.get_secret_value()
        if entry.auth_type == "api_key":
            headers[entry.auth_header] = token
        else:
            headers["Authorization"] = f"Bearer {token}"
    quiet = 24 * 3600.0  # a session may be silent for long; calls have a time limit of their own
    if entry.transport == "sse":
        return SSEConnection(
            transport="sse",
            url=entry.url or "",
            headers=headers,
            sse_read_timeout=quiet,
            session_kwargs=callbacks,
            httpx_client_factory=client,
        )
    return StreamableHttpConnection(
        transport="streamable_http",
        url=entry.url or "",
        headers=headers,
        sse_read_timeout=quiet,
        session_kwargs=callbacks,
        httpx_client_factory=client,
    )


class SessionConnection:
    """One open session. Its calls run in their callers' tasks."""

    def __init__(self, listener: Listener) -> None:
        self.pid: int | None = None
        self.ears = Ears(self._said, listener.lost)
        self.callbacks: dict[str, Any] = {
            "message_handler": self._on_message,
            "logging_callback": self._on_log,
            "elicitation_callback": self._on_question,
        }
        self.questions = Questions()
        self._listener = listener
        self._session: ClientSession | None = None
        self._watching: dict[Call, Progress | None] = {}
        self._lingering = Lingering()

    async def begin(self, session: ClientSession, pid: int | None) -> None:
        self.pid = pid
        await _initialize(session)
        self._session = session

    async def aclose(self) -> None:
        """Leave nothing behind; before the session ends."""
        await self._lingering.aclose()

    async def tools(self) -> Sequence[ToolInfo]:
        found: list[types.Tool] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            request = types.ListToolsRequest(params=types.PaginatedRequestParams(cursor=cursor))
            page = await self._ask(request, types.ListToolsResult)
            found += page.tools
            cursor = page.nextCursor
            if not cursor:
                break
        return [_info(tool) for tool in found]

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        progress: Progress | None = None,
        ask: Ask | None = None,
    ) -> CallResult:
        # Not session.call_tool(): it validates the result against a schema that nobody here relies on.
        params = types.CallToolRequestParams(name=tool, arguments=dict(arguments), _meta=_trace())
        request = types.CallToolRequest(params=params)
        call = Call(tool, ask)
        try:
            result = await self._attempt(request, progress, call)
        except ToolRefused as refused:
            if not self.questions.asked_in_vain(call, refused.detail):
                raise
        else:
            if not (result.is_error and self.questions.asked_in_vain(call, _said(result))):
                return result
        return await self._attempt(request, progress, Call(tool, ask))

    async def _attempt(
        self, request: types.CallToolRequest, progress: Progress | None, call: Call
    ) -> CallResult:
        async with self.questions.place(call):
            self._watching[call] = progress
            try:
                return call_result(await self._asked(request, progress, call))
            finally:
                del self._watching[call]

    async def _asked(self, request: types.CallToolRequest, progress: Progress | None, call: Call) -> Any:
        """The answer to a call, and on the way its own questions."""
        told = False

        async def stop() -> None:
            nonlocal told
            told = True
            self.questions.end(call)
            await self._give_up(call.request_id)

        sending = asyncio.create_task(self._send(request, types.CallToolResult, progress, call))

        def over(task: asyncio.Task[Any]) -> None:
            self.questions.end(call)
            if not task.cancelled():
                task.exception()  # it may fail in the moment in which its caller leaves

        sending.add_done_callback(over)
        try:
            await call.until(sending, stop)
        finally:
            if not sending.done():
                if not told:
                    self._lingering.background(self._give_up(call.request_id))
                self._lingering.keep(sending)
        with self._explaining():
            return sending.result()

    async def alive(self) -> bool:
        try:
            await self._ask(types.PingRequest(), types.EmptyResult)
        except ToolRefused:
            return True  # an answer all the same
        except ServerGone:
            return False
        return True

    async def _ask(self, request: Any, kind: type[Any]) -> Any:
        with self._explaining():
            return await self._send(request, kind)

    async def _send(
        self, request: Any, kind: type[Any], progress: Progress | None = None, call: Call | None = None
    ) -> Any:
        session = self._session
        if session is None:
            raise ServerGone("the session is not open", sent=False)
        # The SDK does not tell the server of a cancelled request; the id it will use is this counter.
        request_id = getattr(session, "_request_id", None)
        if call is not None:
            self.questions.begin(call, request_id)
        watch = _as_callback(progress, call) if progress else None
        try:
            return await session.send_request(types.ClientRequest(request), kind, progress_callback=watch)
        except asyncio.CancelledError:
            if call is None:
                self._lingering.background(self._give_up(request_id))
            raise

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """The SDK's errors in our words."""
        try:
            yield
        except McpError as error:
            raise self._explained(error) from error
        except (anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
            self._listener.lost("the connection was closed")
            raise ServerGone("the connection was closed", sent=False) from error
        except (httpx.HTTPError, OSError) as error:
            self._listener.lost(f"the connection failed ({type(error).__name__})")
            raise ServerGone(f"the connection failed ({type(error).__name__})") from error
        except ValueError as error:  # an answer outside the protocol
            raise ToolRefused("the server's answer does not follow the protocol") from error

    def _explained(self, error: McpError) -> Exception:
        code, message = error.error.code, error.error.message
        if code == types.CONNECTION_CLOSED:
            self._listener.lost("the connection was closed")
            return ServerGone("the server went away before it answered")
        if code == _SESSION_ENDED:
            self._listener.lost("the server has ended the session")
            return ServerGone("the server has ended the session", sent=False)
        if code == OVERSIZE:
            return ResultTooLarge(f"the result has {message} bytes, more than is read from this server")
        return ToolRefused(message[:2000])

    async def _give_up(self, request_id: int | None) -> None:
        """Tell the server that nobody waits any more; not worth more than a second."""
        session = self._session
        if session is None or request_id is None:
            return
        params = types.CancelledNotificationParams(requestId=request_id, reason="the caller gave up")
        with suppress(TimeoutError, anyio.ClosedResourceError, anyio.BrokenResourceError):
            async with asyncio.timeout(1):
                note = types.ClientNotification(types.CancelledNotification(params=params))
                await session.send_notification(note)

    async def _on_question(
        self, context: RequestContext[ClientSession, Any], params: types.ElicitRequestParams
    ) -> types.ElicitResult | types.ErrorData:
        return await self.questions.on_question(context.request_id, params)

    async def _on_message(self, message: object) -> None:
        if isinstance(message, types.ServerNotification):
            if isinstance(message.root, types.ToolListChangedNotification):
                self._listener.changed()
        elif isinstance(message, httpx.HTTPError):
            self._listener.lost(f"the connection failed ({type(message).__name__})")

    async def _on_log(self, params: types.LoggingMessageNotificationParams) -> None:
        if isinstance(params.data, str):
            self._said(params.data)
        elif isinstance(params.data, dict):
            self._said(str(params.data.get("msg", "")))

    def _said(self, line: str) -> None:
        """A line that announces progress goes to the call that runs; to none where it could be several."""
        _, marker, rest = line.partition(_UPDATE)
        if not marker or len(self._watching) != 1:
            return
        watch: Callable[[float, float | None, str], None] | None = next(iter(self._watching.values()))
        with suppress(orjson.JSONDecodeError):
            update = orjson.loads(rest)
            if watch is not None and isinstance(update, dict):
                watch(_number(update.get("progress")) or 0.0, _number(update.get("total")), _text(update))


async def _initialize(session: ClientSession) -> None:
    """The SDK's own would claim that a person can be sent to addresses too, which nobody here does."""
    params = types.InitializeRequestParams(
        protocolVersion=types.LATEST_PROTOCOL_VERSION, capabilities=_ABILITIES, clientInfo=_CLIENT
    )
    request = types.ClientRequest(types.InitializeRequest(params=params))
    version = (await session.send_request(request, types.InitializeResult)).protocolVersion
    if version not in SUPPORTED_PROTOCOL_VERSIONS:
        raise ServerGone(f"it speaks the protocol's version '{str(version)[:40]}', which is not known here")
    await session.send_notification(types.ClientNotification(types.InitializedNotification()))


def _trace() -> types.RequestParams.Meta | None:
    """The caller's `traceparent`, where the protocol has it: in `_meta` (SEP-414)."""
    found: dict[str, str] = {}
    inject(found)
    return types.RequestParams.Meta.model_validate(found) if found else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _text(update: Mapping[str, Any]) -> str:
    return str(update.get("message") or update.get("status_message") or update.get("type") or "")


def _as_callback(watch: Progress, call: Call | None) -> ProgressFnT:
    async def report(progress: float, total: float | None, message: str | None) -> None:
        if call is None or call.live:  # nobody listens to a call that was given up
            watch(progress, total, message or "")

    return report


def _said(result: CallResult) -> str:
    return "\n".join(part.text for part in result.content)


def _info(tool: types.Tool) -> ToolInfo:
    hints = tool.annotations
    repeatable = bool(hints and (hints.readOnlyHint or hints.idempotentHint))
    return ToolInfo(tool.name, (tool.description or "").strip(), tool.inputSchema, repeatable)
