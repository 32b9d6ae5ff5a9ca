"""Pages as they leave: a template, who looks, and the headers that pages need."""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from core.access import Principal, has_scope
from core.errors import WaystationError
from core.installed import installed_version
from server.console.assets import url_of
from server.console.policies import CONSOLE
from server.console.table import LOGIN, listed_for
from server.errors import status_of


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("server.console"), autoescape=True, undefined=StrictUndefined, auto_reload=False
    )
    found.globals["version"] = installed_version()
    found.globals["has_scope"] = has_scope
    return found


def shown(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page for this request.

    Args:
        values: Beside `base` (what a proxy puts before every path), `asset` (the address of a file),
            `logins` (whether people log in here) and `version`.
    """
    base = base_of(request)
    text = (
        _templates()
        .get_template(template)
        .render(
            base=base,
            asset=lambda name: base + url_of(name),
            logins=request.app.state.authenticator.sessions is not None,
            **values,
        )
    )
    # Pages say who looks, so they are nobody else's.
    headers = {"Content-Security-Policy": CONSOLE, "Cache-Control": "no-store"}
    return HTMLResponse(text, status, headers)


def refused(request: Request, error: WaystationError, who: Principal | None = None) -> HTMLResponse:
    """An error as a page, for whoever followed a link."""
    listed = list(listed_for(who)) if who else []
    return shown(
        request, "refused.html", status=status_of(error), error=error, who=who, pages=listed, page=None
    )


def to_login(request: Request) -> RedirectResponse:
    """To the login, and back from there."""
    base = base_of(request)
    path = request.url.path.removeprefix(base)
    back = f"{path}?{request.url.query}" if request.url.query else path
    return RedirectResponse(f"{base}{LOGIN}?next={quote(back, safe='')}", 303, {"Cache-Control": "no-store"})


def base_of(request: Request) -> str:
    """What a proxy puts before every path."""
    return str(request.scope.get("root_path", "")).rstrip("/")
