"""The outermost layer: a request id and browsers' rules on every answer, a log line, no exception past it."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.correlation import correlated
from core.database.outage import storage_outage, tell_failure
from core.errors import Internal
from core.identity.authenticator import folded
from core.observability import extracted
from server.errors import CLIENT_WENT_AWAY, problem_response

HEADER = "X-Request-ID"
# No page shows ours in a frame, where a person would click on what they do not see.
_FOR_BROWSERS = (
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
)
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,64}")
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
            tell_failure(log, "request_crashed", fault, method=scope["method"], path=scope["path"])
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
