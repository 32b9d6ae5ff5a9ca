"""The guard in front of every route: sizes and shapes, before any parser of ours or LangServe's runs.

Pure ASGI, so that a body is counted while it arrives and a stream is not touched on its way out.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

import orjson
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import InvalidInput, WaystationError
from core.settings.platform import LimitSettings
from graph.agent import Agent
from server.errors import BadJson, BodyTooLarge, TooDeep, WrongMediaType, problem_response

UPLOAD_PATH = "/files"
# Whole threads, a line each message; read as they come.
IMPORT_PATH = "/threads/import"
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
    if path == UPLOAD_PATH and kind == "multipart/form-data":
        _announced(headers, limits.upload_bytes + limits.body_bytes)
        return counted(receive, limits.upload_bytes + limits.body_bytes, limits.upload_bytes)
    if path == IMPORT_PATH and kind == "application/x-ndjson":
        _announced(headers, limits.upload_bytes)
        return counted(receive, limits.upload_bytes, limits.upload_bytes)
    _announced(headers, limits.body_bytes)
    body = await read_body(receive, limits.body_bytes)
    if body:
        if not (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))):
            raise WrongMediaType(
                f"the content type is {_shown(kind)}; send the header 'content-type: application/json'"
            )
        check_json(body, depth=limits.json_depth)
    return replay(body, receive)


def _shown(kind: str) -> str:
    return f"'{kind[:80]}'" if kind else "not given"


def _announced(headers: Mapping[str, str], limit: int) -> None:
    length = headers.get("content-length", "")
    if length.isdigit() and int(length[:19]) > limit:
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
