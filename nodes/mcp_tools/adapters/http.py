"""The HTTP client of a session: what it does to single requests, and how it reads their answers.

The SDK lets one status that is no success, and one answer that it cannot read,
end the session with the calls of everybody on it. So no such thing reaches it:
the request that waits is told here, and the SDK hears that its message was taken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

import httpx
import orjson

from core.observability.tracing import TRACEPARENT
from nodes.mcp_tools.adapters.messages import Incoming, refusal_of
from nodes.mcp_tools.adapters.sse import EVENT_STREAM, EventStream, as_events
from nodes.mcp_tools.background import BackgroundTasks
from nodes.mcp_tools.errors import (
    AnswerUnreadable,
    ArgumentsTooLarge,
    NotMcp,
    ResultTooLarge,
    ServerGone,
    StatusRefused,
)
from nodes.mcp_tools.reasons import no_mcp, refusal

GOODBYE_SECONDS = 2.0
MOST_SENT = 4 * 1024 * 1024
"""Bytes: what servers of the known SDKs accept of one request."""

_ENDED = "the server has ended the session (HTTP status 404)"
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 307, 308})  # 303 asks for another request, without the message
_MOST_SAID = 65_536
_SESSION = "mcp-session-id"
_NEVER_ARRIVED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class _Sent(NamedTuple):
    """What of a message of ours matters here. `number` is that of a request that waits for an answer."""

    number: int | None
    trace: str


class McpClient(httpx.AsyncClient):
    """A client for the SDK's HTTP transports.

    Args:
        lost: Told that the connection has ended, with the reason.
        limit: Longest message that is read, in bytes.
        in_body: Answers come in the bodies of POST responses; over SSE they come elsewhere.
    """

    def __init__(
        self, incoming: Incoming, lost: Callable[[str], None], limit: int, *, in_body: bool, **options: Any
    ) -> None:
        super().__init__(**options)
        self._incoming = incoming
        self._lost = lost
        self._limit = limit
        self._in_body = in_body
        self._sending = BackgroundTasks()

    async def __aexit__(self, *exc: Any) -> None:
        await self._sending.aclose()
        await super().__aexit__(*exc)

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """See httpx. What the server does wrong with a message is told to whoever waits for its answer."""
        if request.method == "POST":
            return await self._post(request)
        if request.method == "DELETE":
            # A server that hangs is not waited for at the end of its session: that is why it is replaced.
            request.extensions["timeout"] = httpx.Timeout(GOODBYE_SECONDS).as_dict()
            return await super().send(request, **options)
        return await self._get(request, options)

    async def _get(self, request: httpx.Request, options: dict[str, Any]) -> httpx.Response:
        try:
            response = await self._followed(request, options)
        except _NEVER_ARRIVED as error:
            self._lost(_why(error))
            raise ServerGone(_why(error), sent=False) from error
        stream = response.headers.get("content-type", "").lower().startswith(EVENT_STREAM)
        if response.is_success and stream:
            return self._event_stream(response, request, None)
        if self._in_body:
            return response  # a stream beside the calls is optional, and the SDK goes on without it
        await response.aclose()
        if response.is_success:
            raise NotMcp(no_mcp(response.headers.get("content-type", "")))
        raise refusal(
            response.status_code, location=response.headers.get("location", ""), url=str(request.url)
        )

    async def _post(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        sent = _read(body)
        if sent.trace:
            request.headers[TRACEPARENT] = sent.trace
        if len(body) > MOST_SENT:
            why = f"the call has {len(body)} bytes; servers take at most {MOST_SENT}, so it was not sent"
            self._incoming.fail(sent.number, ArgumentsTooLarge(why))
            return _taken(request)
        if self._in_body or sent.number is None:
            return await self._delivered(request, sent.number)
        # The SDK's SSE sends one message after the other: a server that takes its time holds up nobody.
        self._sending.start(_unread(self._delivered(request, sent.number)))
        return _taken(request)

    async def _delivered(self, request: httpx.Request, number: int | None) -> httpx.Response:
        try:
            response = await self._followed(request, {"stream": True, "follow_redirects": False})
        except httpx.HTTPError as error:
            self._gone(number, error)
            return _taken(request)
        return await self._answer(request, response, number)

    async def _followed(self, request: httpx.Request, options: dict[str, Any]) -> httpx.Response:
        """Redirects within the server's own origin are followed, with the method and the message."""
        for _ in range(_MOST_REDIRECTS):
            response = await super().send(request, **options)
            target = _within(request.url, response) if response.status_code in _REDIRECTS else None
            if target is None:
                return response
            await response.aclose()
            headers = {key: value for key, value in request.headers.items() if key != "host"}
            content = await request.aread() if request.method == "POST" else None
            request = self.build_request(
                request.method, target, headers=headers, content=content, extensions=request.extensions
            )
        return await super().send(request, **options)

    async def _answer(
        self, request: httpx.Request, response: httpx.Response, number: int | None
    ) -> httpx.Response:
        if not response.is_success:
            await self._refused(request, response, number)
            return _taken(request)
        if number is None or response.status_code == httpx.codes.ACCEPTED or not self._in_body:
            await response.aclose()
            return _taken(request)
        kind = response.headers.get("content-type", "").lower()
        if kind.startswith(EVENT_STREAM):
            return self._event_stream(response, request, number)
        try:
            messages = await self._body(response, number)
        except httpx.HTTPError as error:
            self._gone(number, error)
            return _taken(request)
        if self._incoming.waits(number):
            self._incoming.fail(
                number, NotMcp(no_mcp(kind)) if "html" in kind else AnswerUnreadable(no_mcp(kind))
            )
        return httpx.Response(200, headers=_kept(response), content=as_events(messages), request=request)

    async def _refused(self, request: httpx.Request, response: httpx.Response, number: int | None) -> None:
        if response.status_code == httpx.codes.NOT_FOUND and _SESSION in request.headers:
            await response.aclose()
            # So says the protocol of a session that the server has forgotten: the message was not looked at.
            self._fail(number, ServerGone(_ENDED, sent=False, over=True))
            return
        said = ""
        with suppress(httpx.HTTPError, ValueError):
            found = orjson.loads(await _bounded(response, _MOST_SAID))
            said = _message_in(found)
            if (
                number is not None
                and isinstance(found, dict)
                and found.get("id") == number
                and "error" in found
            ):
                own = refusal_of(found["error"])  # the server itself speaks, and of this very request
                status = response.status_code
                self._incoming.fail(number, StatusRefused(own.detail, status=status, rpc_code=own.rpc_code))
                return
        location = response.headers.get("location", "")
        error = refusal(response.status_code, location=location, url=str(request.url), said=said)
        self._incoming.fail(number, error)

    def _event_stream(
        self, response: httpx.Response, request: httpx.Request, number: int | None
    ) -> httpx.Response:
        stream = EventStream(response, self._incoming, number, self._limit)
        return httpx.Response(200, headers=_kept(response), stream=stream, request=request)

    async def _body(self, response: httpx.Response, number: int | None) -> list[dict[str, Any]]:
        try:
            body = await _bounded(response, self._limit)
        except ValueError:
            why = f"the result has over {self._limit} bytes, more than is read from this server"
            self._incoming.fail(number, ResultTooLarge(why))
            return []
        kind = response.headers.get("content-type", "").lower()
        looks = body.lstrip()[:1] in (b"{", b"[") or "json" in kind
        return self._incoming.read(body, number) if looks else []

    def _gone(self, number: int | None, error: httpx.HTTPError) -> None:
        """A request that got no answer; where no other waits, there is no session to keep."""
        arrived = not isinstance(error, _NEVER_ARRIVED)
        self._fail(number, ServerGone(_why(error), sent=arrived, over=self._incoming.quiet))

    def _fail(self, number: int | None, error: ServerGone) -> None:
        """Whoever waits tells of a session that is over: what was heard last is not overtaken by it then."""
        if self._incoming.waits(number):
            self._incoming.fail(number, error)
        elif error.over:
            self._lost(error.detail)


async def _unread(delivered: Awaitable[httpx.Response]) -> None:
    await delivered


def _why(error: httpx.HTTPError) -> str:
    said = str(error).lower()
    if not isinstance(error, _NEVER_ARRIVED):
        return f"the connection failed ({type(error).__name__})"
    if "certificate" in said:
        return (
            "its certificate is not trusted here; check the url, or make its authority known (SSL_CERT_FILE)"
        )
    if "ssl" in said:
        return "it does not speak TLS at its url; check whether http:// is meant"
    if "name or service" in said or "getaddrinfo" in said or "name resolution" in said:
        return "the host name of its url is not known"
    return "nothing answers at its url; check that it runs, and the port"


def _read(body: bytes) -> _Sent:
    """The SDK sends a request from a task of its session, which has no caller's context: what the
    message itself says of its trace is the only thing that belongs to it."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _Sent(None, "")
    if not isinstance(found, dict):
        return _Sent(None, "")
    number = found.get("id") if "method" in found else None
    trace: Any = None
    with suppress(KeyError, TypeError):
        trace = found["params"]["_meta"][TRACEPARENT]
    return _Sent(number if isinstance(number, int) else None, trace if isinstance(trace, str) else "")


def _within(url: httpx.URL, response: httpx.Response) -> httpx.URL | None:
    """Where a redirect leads, if that is the same origin: what we send was meant for no other."""
    try:
        target = url.join(response.headers["location"])
    except (httpx.InvalidURL, KeyError, ValueError):
        return None
    if target.userinfo != url.userinfo or target.host != url.host:
        return None
    upgraded = (url.scheme, url.port, target.scheme, target.port) == ("http", None, "https", None)
    return target if upgraded or (target.scheme, target.port) == (url.scheme, url.port) else None


async def _bounded(response: httpx.Response, limit: int) -> bytes:
    """The body.

    Raises:
        ValueError: It is longer.
    """
    parts: list[bytes] = []
    left = limit
    try:
        async for chunk in response.aiter_bytes():
            left -= len(chunk)
            if left < 0:
                raise ValueError("too long")
            parts.append(chunk)
    finally:
        await response.aclose()
    return b"".join(parts)


def _message_in(found: object) -> str:
    """What the JSON of an error says, where it has one of the usual forms."""
    error = found.get("error", found) if isinstance(found, dict) else None
    said = error.get("message") or error.get("detail") if isinstance(error, dict) else error
    return said if isinstance(said, str) else ""


def _kept(response: httpx.Response) -> dict[str, str]:
    """The headers of a body that is handed on as events."""
    session = response.headers.get(_SESSION)
    return {"content-type": EVENT_STREAM} | ({_SESSION: session} if session else {})


def _taken(request: httpx.Request) -> httpx.Response:
    return httpx.Response(httpx.codes.ACCEPTED, request=request)
