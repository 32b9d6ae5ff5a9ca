"""Pages of other origins that the operator named in `server.cors_origins`: what their browsers are told.

Outside of the gate, since a preflight carries no login, and so that such a page
can read what a refusal says. Every other page is the gate's to refuse.
"""

from __future__ import annotations

from functools import lru_cache

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from core.settings import Book
from core.settings.platform import ServerSettings

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


class Cors:
    """Answers preflights and marks answers, for the origins of the settings only."""

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
