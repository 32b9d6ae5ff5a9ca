"""The outermost layers: request id, browsers' rules, log line, and the sizes and shapes of what comes in.

Pure ASGI, so that a body is counted while it arrives and a stream is not
touched on its way out. No exception passes.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate

import orjson
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.correlation import correlated
from core.database.outage import log_failure, storage_outage
from core.errors import Internal, InvalidInput, WaystationError
from core.identity.authenticator import folded
from core.observability import extracted
from core.settings import Book
from core.settings.platform import LimitSettings, ServerSettings
from graph.agent import Agent
from server.console import table
from server.console.policies import FRAMES, PLAYGROUND, PLAYGROUNDS
from server.errors import CLIENT_WENT_AWAY, BadJson, BodyTooLarge, TooDeep, WrongMediaType, problem_response
from server.middleware.auth import CARD, PROBES

HEADER = "X-Request-ID"
# No page shows ours in a frame, where a person would click on what they do not see.
_FOR_BROWSERS = (
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
)
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
_READABLE = (
    "Content-Disposition",
    "Content-Location",
    "Content-Range",
    "ETag",
    "Last-Event-ID",
    "Link",
    "Location",
    "Mcp-Protocol-Version",
    "Mcp-Session-Id",
    "Retry-After",
    "X-Pagination-Next",
    "X-Pagination-Total",
    "X-Request-ID",
    "X-Run-ID",
    "X-Thread-ID",
)
log = structlog.get_logger()


def request_id(given: str | None) -> str:
    """The caller's id where it is short and plain, otherwise a new one."""
    return given if given and _ACCEPTED.fullmatch(given) else secrets.token_hex(16)


def _policy_at(path: str) -> str:
    """Of an answer that has none of its own."""
    return PLAYGROUND if path.startswith(PLAYGROUNDS) else FRAMES


class Edge:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found = request_id(Headers(scope=scope).get(HEADER))
        with correlated(request_id=found), extracted(folded(scope["headers"])):
            await self._answer(scope, receive, send, found)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, found: str) -> None:
        status = 0
        begun = time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[HEADER] = found
                for name, value in _FOR_BROWSERS:
                    headers.setdefault(name, value)
                # Beside what the answer itself may say: of two policies both hold.
                headers.append("Content-Security-Policy", _policy_at(scope["path"]))
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except ClientDisconnect:
            status = status or CLIENT_WENT_AWAY
        except Exception as fault:  # noqa: BLE001 - the edge: nothing gets past it
            log_failure(log, "request_crashed", fault, method=scope["method"], path=scope["path"])
            if not status:
                error = storage_outage(fault) or Internal(
                    "an unforeseen fault of ours; the log has the details under this request's id"
                )
                await problem_response(error, instance=scope["path"])(scope, receive, noting)
        log.debug(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=status,
            ms=round((time.perf_counter() - begun) * 1000, 1),
        )


class Cors:
    """Answers preflights and marks answers, for pages of the origins in `server.cors_origins` only.

    Outside of the gate, since a preflight carries no login, and so that such a page
    can read what a refusal says. Every other page is the gate's to refuse.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # Settings of the section `server` do not change while it runs.
        self._allowing = lru_cache(1)(self._allowing_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = Headers(scope=scope).get("origin") if scope["type"] == "http" else None
        if origin is None:
            await self._app(scope, receive, send)
            return
        book: Book = scope["app"].state.agent.book
        allowed = tuple(book[ServerSettings].cors_origins)
        app = self._allowing(allowed) if origin.lower() in allowed else self._app
        await app(scope, receive, send)

    def _allowing_origins(self, allowed: tuple[str, ...]) -> ASGIApp:
        return CORSMiddleware(
            self._app,
            allow_origins=allowed,
            allow_methods=_METHODS,
            allow_headers=("*",),
            allow_credentials=True,
            expose_headers=_READABLE,
        )


UPLOAD_PATH = "/files"
# Where a form with a file comes, read as it comes: ours, and that of OpenAI's wire.
UPLOAD_PATHS = frozenset({UPLOAD_PATH, "/v1/files"})
# Whole threads, a line each message; read as they come.
IMPORT_PATH = "/threads/import"
# Messages with images and files in them.
CONTENT_PATHS = re.compile(
    r"/chat/|/v1/(?:chat/|responses)|/ag-ui|/a2a|/langgraph/(?:threads/[A-Za-z0-9_-]{1,64}/)?runs"
)
# What clients of MCP may send at once, as servers of it take it.
MCP_PATH, MCP_BYTES = "/mcp", 4_194_304
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_OPENING, _CLOSING = b"[{", b"]}"
# Each bracket as one signed byte: a step down, a step up.
_STEPS = bytes.maketrans(_OPENING + _CLOSING, b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(_OPENING + _CLOSING))


class Guard:
    """Refuses what no route should have to look at.

    Args:
        app: What comes next. The settings are those of the agent in `app.state`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            receive = await self._checked(scope, receive)
        except ClientDisconnect:
            return  # half a body is none, and nobody waits for an answer
        except WaystationError as error:
            await problem_response(error, instance=scope["path"])(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _checked(self, scope: Scope, receive: Receive) -> Receive:
        agent: Agent = scope["app"].state.agent
        if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
            # No id, name or word has one, and PostgreSQL's text cannot hold it.
            raise InvalidInput("the address has a NUL character; remove it")
        if scope["method"] not in _WITH_BODY:
            return receive
        return await _body(
            scope["path"], Headers(scope=scope), receive, agent.editions.now().book[LimitSettings]
        )


async def _body(path: str, headers: Headers, receive: Receive, limits: LimitSettings) -> Receive:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if path in UPLOAD_PATHS and kind == "multipart/form-data":
        _announced(headers, limits.upload_bytes + limits.body_bytes)
        return counted(receive, limits.upload_bytes + limits.body_bytes, limits.upload_bytes)
    if path == IMPORT_PATH and kind == "application/x-ndjson":
        _announced(headers, limits.upload_bytes)
        return counted(receive, limits.upload_bytes, limits.upload_bytes)
    most = limits.body_bytes
    if CONTENT_PATHS.match(path):
        most = max(most, limits.content_bytes)
    elif path == MCP_PATH:
        most = max(most, MCP_BYTES)
    _announced(headers, most)
    body = await read_body(receive, most)
    if body:
        if not (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))):
            raise WrongMediaType(f"the content type is {_shown(kind)}; send {_wanted_at(path)}")
        check_json(body, depth=limits.json_depth)
    return replay(body, receive)


def _wanted_at(path: str) -> str:
    form, header = (
        "a form, multipart/form-data with the part 'file'",
        "the header 'content-type: application/json'",
    )
    if path == UPLOAD_PATH:
        return f"{form}, or JSON with {header}"
    return form if path in UPLOAD_PATHS else header


def _shown(kind: str) -> str:
    return f"'{kind[:80]}'" if kind else "not given"


def _announced(headers: Mapping[str, str], limit: int) -> None:
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length[:19]) > limit:
        raise BodyTooLarge(_too_large(limit))


def _too_large(limit: int) -> str:
    return f"the body is over {limit} bytes; send files to {UPLOAD_PATH} as multipart/form-data"


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body, refused as soon as it passes the limit.

    Raises:
        BodyTooLarge: More than `limit` bytes came.
        ClientDisconnect: The client went away before its end.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise BodyTooLarge(_too_large(limit))
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def replay(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body once more, and then whatever comes."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def counted(receive: Receive, limit: int, shown: int) -> Receive:
    """A receive that raises BodyTooLarge when more than `limit` bytes have come."""
    size = 0

    async def counting() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise BodyTooLarge(f"the upload is over {shown} bytes")
        return message

    return counting


def check_json(body: bytes, *, depth: int) -> None:
    """Hold a body to the JSON that everything behind us can read.

    orjson refuses NaN, Infinity, numbers that are none, lone surrogates and
    anything but UTF-8, without recursion of Python's.

    Raises:
        TooDeep: It nests deeper than `depth`.
        BadJson: It is not JSON.
    """
    if nesting(body, stop=depth) > depth:
        raise TooDeep(f"the JSON body nests deeper than {depth} levels")
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadJson(
            f"the body is not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from error


def nesting(body: bytes, *, stop: int) -> int:
    """How deep brackets nest outside of strings; 0 also where too few are there to pass `stop`."""
    if sum(body.count(bracket) for bracket in _OPENING) <= stop:
        return 0
    # Whole passes of the bytes' own methods: each looks at a byte once, whatever the body's shape.
    outside = b"".join(body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    steps = memoryview(outside.translate(_STEPS, _NO_BRACKETS)).cast("b")
    return max(accumulate(steps), default=0)


_HEADED = frozenset(
    (table.ROOT, table.LOGIN, "/docs", "/docs/start.js", CARD, *PROBES, *(page.path for page in table.PAGES))
)
_HEADED_BELOW = (f"{table.STATIC}/", *PLAYGROUNDS)


class HeadAsGet:
    """HEAD on pages and probes: what GET would answer, without its body (RFC 9110, 9.3.2).

    Routes of FastAPI answer GET alone. Those that begin streams or wait for something stay that way.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or not _is_headed(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, without_body)


def _is_headed(path: str) -> bool:
    return path in _HEADED or path.startswith(_HEADED_BELOW)
