"""Logins of browsers: a key or token becomes a cookie, which lasts for hours or until it is given back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from core.identity.authenticator import BrowserLogins, Session, folded
from core.identity.errors import NotAuthenticated
from core.identity.sessions import COOKIE
from core.settings.platform import ServerSettings
from server.errors import InvalidRequest
from server.middleware.auth import Caller
from server.routes.common import OpenAgent, problems
from server.shapes.form import Json, Shape
from server.shapes.operators import SessionShown

router = APIRouter(prefix="/session", tags=["session"], responses=problems(NotAuthenticated, InvalidRequest))


class Credential(BaseModel, extra="forbid", strict=True):
    """What somebody logs in with."""

    token: str = Field(min_length=1, max_length=32_768, description="An API key, or a token of the issuer.")


@router.get("")
async def show_session(request: Request, who: Caller) -> Annotated[Json, Shape(SessionShown)]:
    """Who you are here, and until when you are logged in; `expires_at` is null without such a login."""
    sessions: BrowserLogins | None = request.app.state.authenticator.sessions
    until = sessions.expires_at(folded(request.scope["headers"])) if sessions else None
    return {
        "user": who.id,
        "groups": sorted(who.groups),
        "levels": sorted(who.levels),
        "scopes": sorted(who.scopes),
        "expires_at": None if until is None else _time(until),
    }


# Not in the description: programs send their key as it is, and have no use for a cookie.
@router.post("", status_code=201, include_in_schema=False)
async def log_in(
    credential: Credential, request: Request, response: Response, agent: OpenAgent
) -> dict[str, Any]:
    """Log a browser in: the answer sets a cookie that only this service's own pages send."""
    sessions: BrowserLogins | None = request.app.state.authenticator.sessions
    if sessions is None:
        raise InvalidRequest("nobody logs in here with a key or token; see auth.mode")
    session = await sessions.begin(credential.token.strip())
    set_cookie(request, response, session, agent.book[ServerSettings])
    return {"expires_at": _time(session.expires_at)}


@router.delete("", status_code=204)
async def log_out(request: Request, agent: OpenAgent) -> Response:
    """Take the cookie back. A copy of it that somebody made lasts until its end, or that of its key."""
    response = Response(status_code=204)
    _cookie(request, response, "", 0, agent.book[ServerSettings])
    return response


def set_cookie(request: Request, response: Response, session: Session, server: ServerSettings) -> None:
    """Give the login to the browser."""
    seconds = int(session.expires_at - datetime.now(UTC).timestamp())
    _cookie(request, response, session.value, max(1, seconds), server)


def _cookie(request: Request, response: Response, value: str, seconds: int, server: ServerSettings) -> None:
    response.set_cookie(
        COOKIE,
        value,
        max_age=seconds,
        path=request.scope.get("root_path", "").rstrip("/") or "/",
        secure=is_secure(request, server),
        httponly=True,
        samesite="strict",
    )


def is_secure(request: Request, server: ServerSettings) -> bool:
    """Whether browsers come by https, so that a cookie need never leave by http."""
    return request.url.scheme == "https" or server.public_url.startswith("https:")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
