"""What routes share: the open agent, and how errors appear in the description."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from graph.agent import Agent
from server.errors import PROBLEM_JSON


def open_agent(request: Request) -> Agent:
    """The one agent of this process; a FastAPI dependency."""
    agent: Agent = request.app.state.agent
    return agent


OpenAgent = Annotated[Agent, Depends(open_agent)]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route for the errors that its callers should expect."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": "Problem", "content": {PROBLEM_JSON: {"schema": schema}}}
        for status in statuses
    }
