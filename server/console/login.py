"""Where people log in: by what they type, or at the issuer's page, from where they come back to ours."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from core.errors import WaystationError
from core.identity.authenticator import Authenticator, folded
from core.identity.code_login import COOKIE, SECONDS, here_only
from core.identity.signing import cookie_in
from core.settings.platform import ServerSettings
from graph.agent import Agent
from server.console.drawing import base_of, shown
from server.console.pages import On
from server.console.table import FROM_ISSUER, LOGIN, TO_ISSUER
from server.errors import RouteNotFound, status_of
from server.routes.common import OpenAgent
from server.routes.session import is_secure, set_cookie

router = APIRouter(include_in_schema=False)
# The code in its address is of no use any more, and nobody's to know.
_UNTOLD = {"Referrer-Policy": "no-referrer"}


@router.get(LOGIN)
async def login(request: Request, on: On) -> Response:
    """Where people log in; without logins there is nothing to do."""
    if _logins(request).sessions is None:
        return RedirectResponse(f"{base_of(request)}/", 303)
    return _page(request)


@router.get(TO_ISSUER)
async def to_issuer(
    request: Request,
    agent: OpenAgent,
    on: On,
    onward: Annotated[str, Query(alias="next")] = "/",
    again: Annotated[bool, Query()] = False,
) -> Response:
    """To the issuer's page."""
    at_issuer = _logins(request).at_issuer
    if at_issuer is None:
        raise _none_here()
    try:
        begun = await at_issuer.begin(_back(request, agent), onward=onward, again=again)
    except WaystationError as error:
        return _page(request, error)
    answer = RedirectResponse(begun.url, 303, {"Cache-Control": "no-store"})
    _keep(request, answer, begun.kept, SECONDS, agent)
    return answer


@router.get(FROM_ISSUER)
async def from_issuer(request: Request, agent: OpenAgent, on: On) -> Response:
    """Back from there: a page that leads on.

    A redirect would not do: the browser comes from another site, and would not send the new cookie along.
    """
    logins = _logins(request)
    if logins.at_issuer is None or logins.sessions is None:
        raise _none_here()
    kept = cookie_in(folded(request.scope["headers"]), COOKIE)
    try:
        who, onward = await logins.at_issuer.finish(kept, request.query_params, _back(request, agent))
        session = logins.sessions.of(who, "oidc")
    except WaystationError as error:
        answer = _page(request, error)
    else:
        answer = shown(request, "onward.html", onward=base_of(request) + onward)
        set_cookie(request, answer, session, agent.book[ServerSettings])
    _keep(request, answer, "", 0, agent)
    answer.headers.update(_UNTOLD)
    return answer


def _page(request: Request, problem: WaystationError | None = None) -> Response:
    logins = _logins(request)
    return shown(
        request,
        "login.html",
        status=status_of(problem) if problem else 200,
        problem=problem.detail if problem else "",
        issuer=logins.at_issuer.name if logins.at_issuer else "",
        to_issuer=base_of(request) + TO_ISSUER + _onward(request),
    )


def _onward(request: Request) -> str:
    """Where to go afterwards; and whoever has just logged out is not let in again without a word."""
    wanted = request.query_params
    said = {"next": here_only(wanted.get("next", "/")), **({"again": "true"} if "left" in wanted else {})}
    return f"?{urlencode(said)}"


def _logins(request: Request) -> Authenticator:
    found: Authenticator = request.app.state.authenticator
    return found


def _back(request: Request, agent: Agent) -> str:
    """The address that the issuer has to know: `server.public_url`, or as the browser calls us."""
    base = agent.book[ServerSettings].public_url or str(request.base_url)
    return base.rstrip("/") + FROM_ISSUER


def _keep(request: Request, answer: Response, value: str, seconds: int, agent: Agent) -> None:
    answer.set_cookie(
        COOKIE,
        value,
        max_age=seconds,
        path=base_of(request) + LOGIN,
        secure=is_secure(request, agent.book[ServerSettings]),
        httponly=True,
        # Strict would not come back from the issuer's site.
        samesite="lax",
    )


def _none_here() -> RouteNotFound:
    return RouteNotFound("nobody logs in at an issuer here; see auth.oidc.client_id")
