"""The outermost layers: a request id, browsers' rules and a log line on every answer; no exception passes."""

from __future__ import annotations

import re
import secrets
import time
from functools import lru_cache

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.correlation import correlated
from core.database.outage import log_failure, storage_outage
from core.errors import Internal
from core.identity.authenticator import folded
from core.observability import extracted
from core.settings import Book
from core.settings.platform import ServerSettings
from server.errors import CLIENT_WENT_AWAY, problem_response

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
    "Content-Range",
    "ETag",
    "Link",
    "Retry-After",
    "X-Request-ID",
    "X-Run-ID",
)
log = structlog.get_logger()


def request_id(given: str | None) -> str:
    """The caller's id where it is short and plain, otherwise a new one."""
    return given if given and _ACCEPTED.fullmatch(given) else secrets.token_hex(16)


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
                headers.append("Content-Security-Policy", "frame-ancestors 'none'")
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
