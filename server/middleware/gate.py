"""The gate before everything: whose name was called, who calls, and whether they may call this at all.

A middleware and not a dependency of routes, so that a route, a mounted folder or
a page of a library that nobody thought of is closed too.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from core.access import Principal, require
from core.correlation import correlated
from core.errors import WaystationError
from core.identity.authenticator import Authenticator, folded
from core.settings import Book
from core.settings.auth import AuthSettings
from core.settings.platform import ServerSettings
from server.errors import problem_response
from server.middleware.auth import PROBES, check_host, check_page, needs_no_login, scope_for

POLICY_VIOLATION = 1008


class Gate:
    """Lets requests in with their principal in `request.state.principal`.

    Args:
        app: What comes next. The authenticator is that of `app.state`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # None is ours, and no login is read from one: what a library or a module brings is closed.
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            caller = await _admitted(scope)
        except WaystationError as error:
            await problem_response(error, instance=scope["path"])(scope, receive, send)
            return
        with correlated(user=caller.id if caller else ""):
            await self._app(scope, receive, send)


async def _admitted(scope: Scope) -> Principal | None:
    """Who it is; None for what answers anybody.

    Raises:
        HostRefused, NotAuthenticated, IdentityUnavailable, ScopeMissing: They may not come in.
    """
    path = scope["path"]
    headers = folded(scope["headers"])
    _check_names(scope, headers)
    if needs_no_login(path):
        return None
    authenticator: Authenticator = scope["app"].state.authenticator
    peer = scope.get("client")
    caller = await authenticator.authenticate(headers, peer[0] if peer else "")
    require(caller, scope_for(path))
    scope.setdefault("state", {})["principal"] = caller
    return caller


def _check_names(scope: Scope, headers: Mapping[str, str]) -> None:
    book: Book = scope["app"].state.agent.book
    path, server, logins = scope["path"], book[ServerSettings], book[AuthSettings].logins
    if not logins and path not in PROBES:
        check_host(headers.get("host", ""), server)
    # A link shows a file to whoever has it, also within somebody's page.
    if not needs_no_login(path):
        check_page(scope["method"], headers, server, logins=bool(logins))
