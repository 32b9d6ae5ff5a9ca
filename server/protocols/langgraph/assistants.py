"""`/assistants`: there is one, and it cannot be changed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import BaseModel, Field

from server.middleware.auth import Caller
from server.protocols.langgraph.shapes import assistant_json, selected
from server.protocols.langgraph.words import GRAPH, NotOffered, check_assistant
from server.protocols.switch import wire_router
from server.requests import Configurable
from server.routes.common import OpenAgent

router = wire_router("langgraph", "/langgraph/assistants")


class SearchBody(BaseModel, extra="ignore"):
    """Which assistants are looked for."""

    metadata: dict[str, Any] | None = None
    graph_id: str | None = None
    name: str | None = None
    limit: int = Field(10, ge=1, le=1000)
    offset: int = Field(0, ge=0)
    select: list[str] | None = None


def _found(body: SearchBody) -> list[dict[str, Any]]:
    one = assistant_json()
    fits = (
        body.graph_id in (None, GRAPH)
        and (body.name or "").lower() in GRAPH
        and all(one["metadata"].get(name) == value for name, value in (body.metadata or {}).items())
    )
    return [one] if fits else []


@router.post("/search")
async def search(body: SearchBody, response: Response, _: Caller) -> list[dict[str, Any]]:
    """The assistants that fit."""
    found = _found(body)
    response.headers["X-Pagination-Total"] = str(len(found))
    return [selected(one, body.select) for one in found[body.offset : body.offset + body.limit]]


@router.post("/count")
async def count(body: SearchBody, _: Caller) -> int:
    """How many fit."""
    return len(_found(body))


@router.get("/{assistant_id}")
async def show(assistant_id: str, _: Caller) -> dict[str, Any]:
    """The assistant."""
    check_assistant(assistant_id)
    return assistant_json()


@router.get("/{assistant_id}/graph")
async def graph(
    assistant_id: str, agent: OpenAgent, _: Caller, xray: Annotated[str, Query(max_length=5)] = "false"
) -> dict[str, Any]:
    """Its graph: nodes and edges."""
    check_assistant(assistant_id)
    return agent.graph.get_graph(xray=xray.lower() not in ("false", "0", "")).to_json()


@router.get("/{assistant_id}/schemas")
async def schemas(assistant_id: str, agent: OpenAgent, _: Caller) -> dict[str, Any]:
    """JSON schemas of input, output and state, and of what may be chosen for a run."""
    check_assistant(assistant_id)
    chosen = Configurable.model_json_schema()
    return {
        "graph_id": GRAPH,
        "input_schema": agent.graph.get_input_jsonschema(),
        "output_schema": agent.graph.get_output_jsonschema(),
        "state_schema": agent.graph.get_output_jsonschema(),
        "config_schema": chosen,
        "context_schema": chosen,
    }


@router.get("/{assistant_id}/subgraphs")
@router.get("/{assistant_id}/subgraphs/{namespace}")
async def subgraphs(assistant_id: str, _: Caller, namespace: str = "") -> dict[str, Any]:
    """The graphs within it: none."""
    check_assistant(assistant_id)
    return {}


@router.post("/{assistant_id}/versions")
async def versions(assistant_id: str, _: Caller) -> list[dict[str, Any]]:
    """Its one version."""
    check_assistant(assistant_id)
    return [assistant_json()]


@router.post("")
@router.patch("/{assistant_id}")
@router.delete("/{assistant_id}")
@router.post("/{assistant_id}/latest")
async def unchangeable(_: Caller, assistant_id: str = "") -> None:
    """Assistants of one's own are not kept."""
    raise NotOffered("assistants cannot be made or changed here; send `context` with each run")
