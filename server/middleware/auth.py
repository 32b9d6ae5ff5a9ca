"""The gate before everything: who calls, what that lets them ask, and under which name they may call.

In mode `none` everybody who reaches the service is one user, so reaching it is
the only protection: it listens on loopback, and it answers only requests whose
Host and Origin are its own. The last part is for browsers: a foreign page may
point a name of its own at 127.0.0.1 (DNS rebinding) or post a form to us.

With a login, a foreign page is refused as well: behind a proxy the browser would
add the proxy's cookie to whatever the page sends.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from core.access import Principal, require
from core.callers import Scope
from core.correlation import correlated
from core.errors import WaystationError
from core.identity.authenticator import Authenticator, folded
from core.identity.errors import NotAuthenticated
from core.identity.sessions import value_in
from core.settings import Book
from core.settings.auth import AuthSettings
from core.settings.platform import ServerSettings
from server.console import drawing, table
from server.errors import BindRefused, HostRefused, Misdirected, SessionUnconfirmed, problem_response

# Probes come under the machine's address, and these answers hold nothing.
PROBES = frozenset({"/health/live", "/health/ready"})
# Who the agent is and how it is asked, for agents that have no login yet; nothing of what is in it.
CARD = "/.well-known/agent-card.json"
# The token in the path is the credential: it names one file and expires.
_LINK = re.compile(r"/files/link/[^/]+")
# What is not here takes `use`: a route that nobody thought of is not open, and not an operator's.
_OPERATE: tuple[str, ...] = ("/health", "/metrics", "/tasks", "/breakers")
# What shows things of everybody, or how the service is kept safe.
_ADMIN: tuple[str, ...] = ("/storage", "/settings", "/deploy", "/keys", "/audit")
_SCOPES: Mapping[str, Scope] = {
    **dict.fromkeys(_OPERATE, "operate"),
    **dict.fromkeys(_ADMIN, "admin"),
}
_PAGES: Mapping[str, Scope] = {page.path: page.scope for page in table.PAGES}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# In Sec-Fetch-Site. Ports do not count there: two programs on one machine are the same site.
_ELSEWHERE = frozenset({"cross-site", "same-site"})
_PORTS = {"http": 80, "https": 443}
POLICY_VIOLATION = 1008
# A form or a picture of another page cannot send it, and its scripts may not.
CONFIRMING = "x-waystation-console"


def needs_no_login(path: str) -> bool:
    """True for the few paths that answer anybody."""
    return path in PROBES or path == CARD or _LINK.fullmatch(path) is not None


def scope_for(path: str) -> Scope:
    """The scope that a request for this path takes."""
    if path in _PAGES:
        return _PAGES[path]
    for root, scope in _SCOPES.items():
        if path == root or path.startswith(f"{root}/"):
            return scope
    return "use"


async def principal(request: Request) -> Principal:
    """The caller, whom the gate has let in; a FastAPI dependency.

    Raises:
        NotAuthenticated: The request came by no gate.
    """
    found: Principal | None = request.scope.get("state", {}).get("principal")
    if found is None:
        raise NotAuthenticated
    return found


Caller = Annotated[Principal, Depends(principal)]


def is_loopback(host: str) -> bool:
    """True for an address or name that only this machine reaches."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_bind(server: ServerSettings, auth: AuthSettings) -> None:
    """Refuse to open the service to a network where nobody has to log in, unless told twice.

    Raises:
        BindRefused: The address is not loopback, and one of the two words is missing.
    """
    if auth.logins or is_loopback(server.host) or (server.allow_remote and auth.trust_everyone):
        return
    raise BindRefused(
        f"'{server.host}' can be reached from other machines and nobody has to log in; "
        "use 127.0.0.1, or set auth.mode to keys, oidc or proxy. To let everybody in who reaches it, "
        "set both server.allow_remote and auth.trust_everyone to true"
    )


def check_host(host: str, server: ServerSettings) -> None:
    """Refuse a request that was made under a foreign name; for mode none.

    Raises:
        Misdirected: The Host header is not ours.
    """
    if not _ours(_hostname(f"//{host}"), server):
        raise Misdirected(f"the Host header names '{host[:100]}'; call the service by its own address")


def check_page(method: str, headers: Mapping[str, str], server: ServerSettings, *, logins: bool) -> None:
    """Refuse what a page of another origin makes a browser send.

    Loopback is no exception: whoever runs on another port is another program,
    perhaps of another user. Also with a token: a proxy may have added it to what
    came with its cookie. Programs send neither of the two headers.

    Args:
        headers: By lower-case name.
        logins: Whether anybody has to log in. Without, the answer to whom we may show something
            is only where it comes from, so such a page may not fetch anything either.

    Raises:
        HostRefused: The page is not ours.
    """
    origin = headers.get("origin", "").lower()
    if origin:
        if not _may_call(origin, headers.get("host", ""), server, logins=logins):
            raise _foreign(origin)
    elif headers.get("sec-fetch-site", "").lower() in _ELSEWHERE:
        # Following a link is no fetch: a person went to us.
        fetched = headers.get("sec-fetch-mode", "navigate").lower() != "navigate"
        if method not in _SAFE or (fetched and not logins):
            raise _foreign("another site")


def _may_call(origin: str, host: str, server: ServerSettings, *, logins: bool) -> bool:
    return origin in server.cors_origins or _is_own_page(origin, host, server, logins=logins)


def _is_own_page(origin: str, host: str, server: ServerSettings, *, logins: bool) -> bool:
    page = _origin(origin)
    if page is None:
        return False
    if server.public_url and page == _origin(server.public_url):
        return True
    # A proxy passes on what Host it likes: behind one, the public address alone is ours.
    return not (server.public_url and logins) and page == _origin(f"{page[0]}://{host}")


def _foreign(origin: str) -> HostRefused:
    return HostRefused(
        f"a page of '{origin[:100]}' may not call this service; its own address is server.public_url, "
        "and other origins that may stand in server.cors_origins"
    )


def _ours(name: str, server: ServerSettings) -> bool:
    if is_loopback(name) or name in {_hostname(server.public_url), server.host.lower()}:
        return bool(name)
    # Whoever opened the service to a network without naming it serves any name.
    return server.allow_remote and not server.public_url


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None where that is not what it says."""
    try:
        parts = urlsplit(url.lower())
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


class Gate:
    """Lets requests in with their principal in `request.state.principal`.

    A middleware and not a dependency of routes, so that a route, a mounted folder or
    a page of a library that nobody thought of is closed too.

    Args:
        app: What comes next. The authenticator is that of `app.state`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
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
            await _refusal(error, scope)(scope, receive, send)
            return
        with correlated(user=caller.id if caller else ""):
            await self._app(scope, receive, send)


def _refusal(error: WaystationError, scope: AsgiScope) -> Response:
    """As a problem; for a person who opens a page, the way to the login, or a page that says it."""
    headers = folded(scope["headers"])
    wants_page = scope["method"] in ("GET", "HEAD") and "text/html" in headers.get("accept", "")
    if not (wants_page and _has_console(scope) and table.is_for_people(scope["path"])):
        return problem_response(error, instance=scope["path"])
    request = Request(scope)
    if isinstance(error, NotAuthenticated) and scope["app"].state.authenticator.sessions is not None:
        return drawing.to_login(request)
    return drawing.refused(request, error, getattr(request.state, "principal", None))


def _is_before_login(scope: AsgiScope) -> bool:
    path = scope["path"]
    return path.startswith(table.OPENED) and _has_console(scope) and table.is_open(scope["method"], path)


def _has_console(scope: AsgiScope) -> bool:
    state = scope["app"].state
    return getattr(state, "console", False) and bool(state.agent.book[ServerSettings].console)


async def _admitted(scope: AsgiScope) -> Principal | None:
    """Who it is; None for what answers anybody.

    Raises:
        HostRefused, NotAuthenticated, IdentityUnavailable, ScopeMissing, SessionUnconfirmed: They may not
            come in.
    """
    path = scope["path"]
    headers = folded(scope["headers"])
    _check_names(scope, headers)
    if needs_no_login(path) or _is_before_login(scope):
        return None
    caller = await _caller(scope, headers)
    scope.setdefault("state", {})["principal"] = caller
    require(caller, scope_for(path))
    return caller


async def _caller(scope: AsgiScope, headers: Mapping[str, str]) -> Principal:
    authenticator: Authenticator = scope["app"].state.authenticator
    server: ServerSettings = scope["app"].state.agent.book[ServerSettings]
    peer = scope.get("client")
    if authenticator.sessions is None:
        return await authenticator.authenticate(headers, peer[0] if peer else "")
    counting = _counting(headers, server)
    unconfirmed = bool(value_in(counting)) and scope["method"] not in _SAFE and CONFIRMING not in headers
    if unconfirmed:
        counting = {**counting, "cookie": ""}
    try:
        return await authenticator.authenticate(counting, peer[0] if peer else "")
    except NotAuthenticated:
        if unconfirmed:
            raise SessionUnconfirmed(
                "with a browser's login alone, a request that changes something needs the header "
                f"'{CONFIRMING}: 1', which the console's pages send; programs send a key or token"
            ) from None
        raise


def _counting(headers: Mapping[str, str], server: ServerSettings) -> Mapping[str, str]:
    """The headers without a browser's login where it does not count.

    It is for the service's own pages: another origin that may call has logins of its own, and whoever
    sends a key means the key.
    """
    origin = headers.get("origin", "").lower()
    foreign = origin and not _is_own_page(origin, headers.get("host", ""), server, logins=True)
    if foreign or "authorization" in headers or "x-api-key" in headers:
        return {**headers, "cookie": ""}
    return headers


def _check_names(scope: AsgiScope, headers: Mapping[str, str]) -> None:
    book: Book = scope["app"].state.agent.book
    path, server = scope["path"], book[ServerSettings]
    logins = scope["app"].state.authenticator.logins
    if not logins and path not in PROBES:
        check_host(headers.get("host", ""), server)
    # A link shows a file to whoever has it, also within somebody's page.
    if not needs_no_login(path):
        check_page(scope["method"], headers, server, logins=bool(logins))
