"""One open session with a server: what is asked of it, and how it answers."""

from __future__ import annotations

import asyncio
from asyncio import StreamWriter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import anyio
import orjson
import structlog
from mcp import ClientSession, McpError, types
from mcp.shared.context import RequestContext
from mcp.shared.session import ProgressFnT
from mcp.shared.version import SUPPORTED_PROTOCOL_VERSIONS
from pydantic import RootModel
from pydantic_core import PydanticSerializationError, to_json

from core.foreign import clean_text, storable
from core.observability import inject
from nodes.mcp_tools.adapters.elicitation import Elicitations, OpenCall
from nodes.mcp_tools.adapters.messages import Incoming
from nodes.mcp_tools.adapters.notes import line, number
from nodes.mcp_tools.background import BackgroundTasks
from nodes.mcp_tools.errors import AnswerUnreadable, ServerFailed, ServerGone, StatusRefused, ToolRefused
from nodes.mcp_tools.models import Ask, CallResult, Progress, ToolList
from nodes.mcp_tools.ports import Listener
from nodes.mcp_tools.reasons import CLOSED
from nodes.mcp_tools.results import call_result
from nodes.mcp_tools.tool_list import read_tools

log = structlog.get_logger(__name__)

_PROGRESS_MARK = "MCP_UPDATE:"
# Refusals of one request that say nothing of the session.
_PASSING = frozenset({413, 422, 429})
_BAD_REQUEST = 400
UNANSWERED_SECONDS = 60.0  # so long a call that was given up and never answered counts as one that may ask
_FORGOTTEN = "the server does not know the session any more (HTTP status 400)"
_ABILITIES = types.ClientCapabilities(
    elicitation=types.ElicitationCapability(form=types.FormElicitationCapability())
)
_CLIENT = types.Implementation(name="waystation", version="0.1.0")


class _Taken(RootModel[Any]):
    """An answer as the SDK sees it; its contents are with `Incoming`."""


class SessionConnection:
    """One open session. Its calls run in their callers' tasks."""

    def __init__(self, listener: Listener) -> None:
        self.pid: int | None = None
        self.open = False
        self._elicitations = Elicitations()
        self.incoming = Incoming(
            decline=self._decline, on_question=self._elicitations.came_on, said=self.said
        )
        self.callbacks: dict[str, Any] = {
            "message_handler": self._on_message,
            "elicitation_callback": self._on_question,
        }
        self._listener = listener
        self._session: ClientSession | None = None
        self._line: StreamWriter | None = None
        self._watching: dict[OpenCall, Progress | None] = {}
        self._background = BackgroundTasks()

    async def begin(self, session: ClientSession, pid: int | None, line: StreamWriter | None = None) -> None:
        """Agree with the server on the protocol.

        Args:
            line: Where messages are written one to a line. Calls then go past the SDK, which would have
                each pass through two streams and seven models.

        Raises:
            ServerGone: Its version is not known here, or it did not answer.
        """
        self.pid = pid
        self._session = session
        # The SDK's own would claim that a person can be sent to addresses too, which nobody here does.
        params = types.InitializeRequestParams(
            protocolVersion=types.LATEST_PROTOCOL_VERSION, capabilities=_ABILITIES, clientInfo=_CLIENT
        )
        _check_version(await self._ask(types.InitializeRequest(params=params), opening=True))
        await session.send_notification(types.ClientNotification(types.InitializedNotification()))
        self._line = line
        self.open = True

    async def aclose(self) -> None:
        """Leave nothing behind; before the session ends."""
        await self._background.aclose()

    async def tools(self) -> ToolList:
        async def page(cursor: str | None) -> Any:
            params = types.PaginatedRequestParams(cursor=cursor)
            return await self._ask(types.ListToolsRequest(params=params))

        return await read_tools(page)

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        progress: Progress | None = None,
        ask: Ask | None = None,
    ) -> CallResult:
        # Not session.call_tool(): it validates the result against a schema that nobody here relies on.
        call = OpenCall(tool, ask)
        try:
            result = await self._attempt(arguments, progress, call)
        except (ServerGone, StatusRefused) as error:
            await self._check(error)
            raise
        except ToolRefused as refused:
            if not self._elicitations.refused_as_unclear(call, refused.detail):
                raise
        else:
            if not (result.is_error and self._elicitations.refused_as_unclear(call, _said(result))):
                return result
        return await self._attempt(arguments, progress, OpenCall(tool, ask))

    async def _check(self, error: ServerGone | StatusRefused) -> None:
        """Is it the session that has ended, or did something refuse this one call?"""
        if isinstance(error, ServerGone):
            if not error.over or self.incoming.idle:
                return
            if await self.alive():
                why = "the server answered this call with HTTP status 404, and others go on"
                raise StatusRefused(why, status=404) from error
            self._listener.lost(error.detail)
        elif error.status == _BAD_REQUEST and not await self.alive():
            # So some servers answer a session that they have forgotten, as they do other calls.
            self._listener.lost(_FORGOTTEN)
            raise ServerGone(_FORGOTTEN, sent=False)

    async def _attempt(
        self, arguments: Mapping[str, Any], progress: Progress | None, call: OpenCall
    ) -> CallResult:
        async with self._elicitations.place(call):
            self._watching[call] = progress
            try:
                return call_result(await self._asked(arguments, progress, call))
            finally:
                del self._watching[call]

    async def _asked(self, arguments: Mapping[str, Any], progress: Progress | None, call: OpenCall) -> Any:
        """The answer to a call, and on the way its own questions."""
        stopped = False

        async def stop() -> None:
            nonlocal stopped
            stopped = True
            self._elicitations.end(call)
            await self._give_up(call.request_id)

        sending = self._sent(arguments, progress, call)

        def over(sent: asyncio.Future[Any]) -> None:
            self._elicitations.end(call)
            if not sent.cancelled():
                sent.exception()  # it may fail in the moment in which its caller leaves

        sending.add_done_callback(over)
        try:
            await call.until(sending, stop)
        finally:
            if not sending.done():
                if not stopped:
                    self._background.start(self._give_up(call.request_id))
                self._background.hold(sending, longest_s=UNANSWERED_SECONDS)
        with self._explaining():
            return sending.result()

    def _sent(
        self, arguments: Mapping[str, Any], progress: Progress | None, call: OpenCall
    ) -> asyncio.Future[Any]:
        """The call is on its way; what it ends with."""
        if self._line is not None and self._session is not None:
            return self._written(self._line, self._session, arguments, progress, call)
        params = types.CallToolRequestParams(name=call.tool, arguments=dict(arguments), _meta=_trace())
        return asyncio.create_task(self._send(types.CallToolRequest(params=params), progress, call))

    def _written(
        self,
        line: StreamWriter,
        session: ClientSession,
        arguments: Mapping[str, Any],
        progress: Progress | None,
        call: OpenCall,
    ) -> asyncio.Future[Any]:
        """Past the SDK: a line, and the answer as `Incoming` reads it. Numbers are the SDK's."""
        if self.incoming.over or line.is_closing():
            self._listener.lost(CLOSED)
            raise ServerGone(CLOSED, sent=False)
        meta: dict[str, Any] = {}
        inject(meta)
        request_id: int = session._request_id
        if progress is not None:
            meta["progressToken"] = request_id
        params = {"name": call.tool, "arguments": arguments, **({"_meta": meta} if meta else {})}
        written = _line_of("tools/call", params, request_id=request_id)
        session._request_id = request_id + 1
        self._elicitations.begin(call, request_id)
        sent = self.incoming.answer_to(request_id, _while_live(progress, call) if progress else None)
        line.write(written)
        return sent

    async def alive(self) -> bool:
        try:
            await self._ask(types.PingRequest())
        except StatusRefused as refused:
            return refused.status in _PASSING or refused.rpc_code == types.METHOD_NOT_FOUND
        except ServerFailed as failed:
            return not failed.sent
        except ServerGone:
            return False
        except (ToolRefused, AnswerUnreadable):
            return True  # an answer all the same
        return True

    async def _ask(self, request: Any, *, opening: bool = False) -> Any:
        # A task of its own: what fails while it waits is told by cancelling just that.
        asking = asyncio.create_task(self._send(request, opening=opening))
        try:
            await asyncio.wait({asking})
        finally:
            if not asking.done():
                asking.cancel()
                await asyncio.wait({asking})
        with self._explaining():
            return asking.result()

    async def _send(
        self,
        request: Any,
        progress: Progress | None = None,
        call: OpenCall | None = None,
        *,
        opening: bool = False,
    ) -> Any:
        """Runs in a task that nothing else runs in."""
        session = self._session
        if session is None:
            raise ServerGone("the session is not open", sent=False)
        # The SDK does not tell the server of a cancelled request; the id it will use is this counter.
        request_id: int = session._request_id
        if call is not None:
            self._elicitations.begin(call, request_id)
        watch = _as_callback(progress, call) if progress and call else None
        with self.incoming.expect(request_id, opening=opening) as pending:
            try:
                wrapped = types.ClientRequest(request)
                await session.send_request(wrapped, _Taken, progress_callback=watch)
            except asyncio.CancelledError:
                if not pending.known:
                    if call is None and not opening:
                        self._background.start(self._give_up(request_id))
                    raise
            return pending.result()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """The SDK's errors in our words. What a server answers is not among them: see `Incoming`."""
        try:
            yield
        except ServerGone as gone:
            if self.incoming.over:
                self._listener.lost(CLOSED)
            elif gone.over and self.incoming.idle:
                self._listener.lost(gone.detail)
            raise
        except McpError as error:
            self._listener.lost(CLOSED)
            raise ServerGone("the server went away before it answered") from error
        except (anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
            self._listener.lost(CLOSED)
            raise ServerGone(CLOSED, sent=False) from error
        except OSError as error:
            self._listener.lost(f"the connection failed ({type(error).__name__})")
            raise ServerGone(f"the connection failed ({type(error).__name__})") from error

    def _decline(self, number: str | int) -> None:
        session = self._session
        if session is not None:
            unknown = types.ErrorData(code=types.METHOD_NOT_FOUND, message="Method not found")
            self._background.start(_quietly(session._send_response(number, unknown)))

    async def _give_up(self, request_id: int | None) -> None:
        """Tell the server that nobody waits any more; not worth more than a second."""
        session = self._session
        if session is None or request_id is None:
            return
        params = types.CancelledNotificationParams(requestId=request_id, reason="the caller gave up")
        if self._line is not None:  # as the call went, so that the next call is behind it
            self._line.write(_line_of("notifications/cancelled", params.model_dump(exclude_none=True)))
            return
        note = types.ClientNotification(types.CancelledNotification(params=params))
        await _quietly(session.send_notification(note))

    async def _on_question(
        self, context: RequestContext[ClientSession, Any], params: types.ElicitRequestParams
    ) -> types.ElicitResult | types.ErrorData:
        return await self._elicitations.on_question(context.request_id, params)

    async def _on_message(self, message: object) -> None:
        note = message.root if isinstance(message, types.ServerNotification) else None
        if isinstance(note, types.ToolListChangedNotification):
            self._listener.changed()

    def said(self, text: str) -> None:
        """A line that announces progress goes to the call that runs; to none where it could be several."""
        _, marker, rest = text.partition(_PROGRESS_MARK)
        if not marker or len(self._watching) != 1:
            return
        watch: Callable[[float, float | None, str], None] | None = next(iter(self._watching.values()))
        with suppress(orjson.JSONDecodeError):
            update = orjson.loads(rest)
            if watch is not None and isinstance(update, dict):
                done, total = number(update.get("progress")) or 0.0, number(update.get("total"))
                _tell(watch, done, total, _text(update))


async def _quietly(note: Any) -> None:
    with suppress(TimeoutError, anyio.ClosedResourceError, anyio.BrokenResourceError):
        async with asyncio.timeout(1):
            await note


def _check_version(opened: object) -> None:
    version = opened.get("protocolVersion") if isinstance(opened, Mapping) else None
    if version not in SUPPORTED_PROTOCOL_VERSIONS:
        shown = f"'{clean_text(version[:40])}'" if isinstance(version, str) else "no text"
        known = ", ".join(SUPPORTED_PROTOCOL_VERSIONS)
        raise ServerGone(f"its protocolVersion is {shown}; known here are {known}", sent=False)


def _trace() -> types.RequestParams.Meta | None:
    """The caller's `traceparent`, where the protocol has it: in `_meta` (SEP-414)."""
    found: dict[str, str] = {}
    inject(found)
    return types.RequestParams.Meta.model_validate(found) if found else None


def _text(update: Mapping[str, Any]) -> str:
    found = (line(update.get(key)) for key in ("message", "status_message", "type"))
    return next((text for text in found if text), "")


def _tell(watch: Progress, progress: float, total: float | None, message: str) -> None:
    """A fault of whoever watches one call ends no session of all the others."""
    try:
        watch(progress, total, message)
    except Exception as error:  # noqa: BLE001 - as above
        log.warning("mcp progress not told", fault=type(error).__name__)


def _while_live(watch: Progress, call: OpenCall) -> Progress:
    def report(progress: float, total: float | None, message: str) -> None:
        if call.live:  # nobody listens to a call that was given up
            _tell(watch, progress, total, message)

    return report


def _as_callback(watch: Progress, call: OpenCall) -> ProgressFnT:
    heard = _while_live(watch, call)

    async def report(progress: float, total: float | None, message: str | None) -> None:
        heard(progress, total, message or "")

    return report


def _said(result: CallResult) -> str:
    return "\n".join(part.text for part in result.content)


def _line_of(method: str, params: Mapping[str, Any], *, request_id: int | None = None) -> bytes:
    """A request, or without a number a notification, as one line of JSON with the end of it."""
    number = {} if request_id is None else {"id": request_id}
    message = {"jsonrpc": "2.0", **number, "method": method, "params": params}
    try:
        return to_json(message, inf_nan_mode="null") + b"\n"
    except PydanticSerializationError:  # half of a surrogate pair, say
        return to_json(storable(message, weight=None)) + b"\n"
