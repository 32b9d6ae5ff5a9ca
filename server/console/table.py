"""The pages that there are: one row each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.access import Principal, has_scope
from core.callers import Scope

ROOT = "/console"
LOGIN = f"{ROOT}/login"
# To the issuer's page, and back from there.
TO_ISSUER = f"{LOGIN}/issuer"
FROM_ISSUER = f"{LOGIN}/back"
STATIC = f"{ROOT}/static"
SESSION = "/session"
# What is open before a login stands below these.
OPENED = (LOGIN, STATIC, SESSION)
# Pages of libraries that a person reaches from ours.
OTHERS = ("/docs", "/agent/playground/", "/chat/playground/")


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the console.

    Args:
        name: Unique; also the name of its icon in `templates/icons.html`.
        path: Where it stands. What it shows of one thing stands in the query (`?run=r_1`), never in the path.
        title: In the navigation and above the page.
        template: In `templates/`, on top of `base.html`.
        script: A module in `static/`; "" for none.
        scope: What somebody needs to see it; what it asks the API for is decided there again.
        short: In the navigation, where the title is too long for it.
        listed: Whether the navigation shows it.
    """

    name: str
    path: str
    title: str
    template: str
    script: str = ""
    scope: Scope = "use"
    short: str = ""
    listed: bool = True


PAGES = (
    Page("chat", "/", "Chat", "chat.html", "chat/page.js"),
    Page("waiting", f"{ROOT}/waiting", "Waiting for you", "waiting.html", "waiting/page.js", short="Waiting"),
    Page("runs", f"{ROOT}/runs", "Runs", "runs.html", "runs/page.js"),
    Page("time", f"{ROOT}/time", "Time travel", "time.html", "time/page.js", short="Time"),
    Page("graph", f"{ROOT}/graph", "Graph", "graph.html", "graph/page.js"),
    Page("sources", f"{ROOT}/sources", "Sources", "sources.html", "sources/page.js"),
    Page("tools", f"{ROOT}/tools", "Tools", "tools.html", "tools/page.js"),
    Page("files", f"{ROOT}/files", "Files", "files.html", "files/page.js"),
    Page("costs", f"{ROOT}/costs", "Costs", "costs.html", "costs/page.js"),
    Page(
        "operating", f"{ROOT}/operating", "Operating", "operating.html", "operating/page.js", scope="operate"
    ),
)
_PATHS = frozenset(page.path for page in PAGES)


def listed_for(who: Principal) -> Iterator[Page]:
    """What the navigation shows this person."""
    return (page for page in PAGES if page.listed and has_scope(who, page.scope))


def is_open(method: str, path: str) -> bool:
    """True for what answers before anybody has logged in: how to do so, and what pages are drawn with."""
    if path == SESSION:
        return method in {"POST", "DELETE"}
    return path in (LOGIN, TO_ISSUER, FROM_ISSUER) or path.startswith(f"{STATIC}/")


def is_for_people(path: str) -> bool:
    """True where a browser that is not logged in is led to the login."""
    return path in _PATHS or path in OTHERS or path.startswith(f"{ROOT}/")
