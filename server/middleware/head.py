"""HEAD on pages and probes: what GET would answer, without its body (RFC 9110, 9.3.2).

Routes of FastAPI answer GET alone. Those that begin streams or wait for something stay that way.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.console import table
from server.console.policies import PLAYGROUNDS
from server.middleware.auth import CARD, PROBES

_PATHS = frozenset(
    (table.ROOT, table.LOGIN, "/docs", "/docs/start.js", CARD, *PROBES, *(page.path for page in table.PAGES))
)
_BELOW = (f"{table.STATIC}/", *PLAYGROUNDS)


class HeadAsGet:
    """Wraps the routes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or not _answers(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, without_body)


def _answers(path: str) -> bool:
    return path in _PATHS or path.startswith(_BELOW)
