"""The routes of the console's pages, and of the files that they are drawn with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from core.settings.platform import ServerSettings
from server.console.assets import answer
from server.console.drawing import base_of, refused, shown
from server.console.table import PAGES, ROOT, STATIC, Page, listed_for
from server.errors import RouteNotFound
from server.middleware.auth import Caller
from server.routes.common import OpenAgent


def _switched_on(agent: OpenAgent) -> None:
    if not agent.book[ServerSettings].console:
        raise RouteNotFound("the console is switched off here (server.console); /docs shows the API")


On = Annotated[None, Depends(_switched_on)]
router = APIRouter(include_in_schema=False)


@router.get(STATIC + "/{version}/{asset:path}")
async def asset(version: str, asset: str, on: On) -> Response:
    """A file that pages are drawn with."""
    return answer(version, asset)


@router.get(ROOT)
async def home(request: Request, on: On, who: Caller) -> Response:
    """The beginning of all the other addresses leads to the first page."""
    return RedirectResponse(f"{base_of(request)}/", 303)


def _route(page: Page) -> Callable[..., Awaitable[Response]]:
    async def route(request: Request, on: On, who: Caller) -> Response:
        return shown(request, page.template, page=page, pages=list(listed_for(who)), who=who)

    return route


for _page in PAGES:
    router.add_api_route(_page.path, _route(_page), methods=["GET"], name=f"console_{_page.name}")


@router.get(ROOT + "/{rest:path}")
async def nothing(request: Request, rest: str, on: On, who: Caller) -> Response:
    """An address that is no page's: a page that says so, for whoever followed a link."""
    error = RouteNotFound(f"there is no page '{ROOT}/{rest[:200]}'")
    if "text/html" not in request.headers.get("accept", ""):
        raise error
    return refused(request, error, who)
