"""What routes share: the open agent, and how errors appear in the description."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from core.errors import WaystationError
from graph.agent import Agent
from server.errors import PROBLEM_JSON, status_of


def open_agent(request: Request) -> Agent:
    """The one agent of this process; a FastAPI dependency."""
    agent: Agent = request.app.state.agent
    return agent


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
