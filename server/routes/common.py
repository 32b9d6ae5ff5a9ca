"""What routes share: the open agent, and how errors appear in the description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response

from core.cursor import LONGEST
from core.errors import WaystationError
from graph.agent import Agent
from server.errors import status_of
from server.protocols.refusals import PROBLEM_JSON


def open_agent(request: Request) -> Agent:
    """The one agent of this process; a FastAPI dependency."""
    agent: Agent = request.app.state.agent
    return agent


After = Annotated[
    str | None,
    Query(max_length=LONGEST, description="`cursor` of the last row of the page before; its id will do too."),
]


def link_next(request: Request, response: Response, rows: Sequence[Mapping[str, Any]], limit: int) -> None:
    """Where a page is full, name the next one in the header Link (RFC 8288)."""
    if len(rows) == limit:
        # Relative to what was asked, whatever a proxy in front has made of the path.
        query = request.url.include_query_params(after=rows[-1]["cursor"]).query
        response.headers["Link"] = f'<?{query}>; rel="next"'


OpenAgent = Annotated[Agent, Depends(open_agent)]


def problems(*expected: type[WaystationError]) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route for the errors that its callers should expect.

    What a route says of a status replaces what its router says of it.
    """
    by_status: dict[int | str, list[type[WaystationError]]] = {}
    for error in expected:
        by_status.setdefault(status_of(error), []).append(error)
    return {status: described(*errors) for status, errors in by_status.items()}


def described(*errors: type[WaystationError]) -> dict[str, Any]:
    """An answer of the API's description that is one of these errors."""
    shown = {error.code: {"summary": error.title, "value": _shown(error)} for error in errors}
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": "; ".join(f"{error.title} (`{error.code}`)" for error in errors),
        "content": {PROBLEM_JSON: {"schema": schema, "examples": shown}},
    }


def _shown(error: type[WaystationError]) -> dict[str, Any]:
    first_line = (error.__doc__ or error.title).partition("\n")[0]
    return {
        "type": f"urn:waystation:error:{error.code}",
        "title": error.title,
        "status": status_of(error),
        "detail": first_line,
        "code": error.code,
    }
