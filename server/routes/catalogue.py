"""What the caller may use. Names only, and what people need to choose; never an address or a key."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter

from core.access import has_scope, usable
from nodes.llm import LLMCaller
from nodes.mcp_tools import MCPToolManager
from nodes.rag import RAGClient
from server.middleware.auth import Caller
from server.routes.common import OpenAgent
from server.shapes.catalogue import ModelShown, ServerListed, SourceShown, ToolShown
from server.shapes.form import Json, Shape

router = APIRouter(tags=["catalogue"])


@router.get("/models")
async def models(agent: OpenAgent, who: Caller) -> Annotated[list[Json], Shape(list[ModelShown])]:
    """Models that you may name in `configurable.model`."""
    llm = await agent.container.get(LLMCaller)
    default = llm.default()
    return [
        {"name": name, "description": entry.description or "", "default": name == default}
        for name, entry in usable(who, llm.entries()).items()
    ]


@router.get("/sources")
async def sources(agent: OpenAgent, who: Caller) -> Annotated[list[Json], Shape(list[SourceShown])]:
    """Sources that you may search."""
    if not agent.has("rag"):
        return []
    rag = await agent.container.get(RAGClient)
    return [source.as_json() for source in await rag.discover(who)]


@router.get("/servers")
async def servers(agent: OpenAgent, who: Caller) -> Annotated[list[Json], Shape(list[ServerListed])]:
    """Tool servers that you may use, and how they do; for operators also those that are left out, and why."""
    if not agent.has("mcp_tools"):
        return []
    mcp = await agent.container.get(MCPToolManager)
    status = mcp.status()
    listed: list[dict[str, Any]] = [
        {
            "name": name,
            "description": entry.description or entry.short_description or "",
            "state": status[name].state.value if name in status else "off",
            "tools": list(mcp.tool_names(name)),
            "left_out": list(status[name].left_out) if name in status else [],
            "require_approval": entry.require_approval,
        }
        for name, entry in usable(who, mcp.entries()).items()
    ]
    if has_scope(who, "operate"):
        left_out = {
            **mcp.inventory.unusable,
            **{p.name: p.problem for p in mcp.inventory.plugins if p.problem},
        }
        listed += [
            {"name": name, "description": "", "state": "left out", "tools": [], "reason": reason}
            for name, reason in left_out.items()
        ]
    return listed


@router.get("/tools")
async def tools(agent: OpenAgent, who: Caller) -> Annotated[list[Json], Shape(list[ToolShown])]:
    """Tools that you may use, with the schema of their parameters; without those of servers that are down."""
    if not agent.has("mcp_tools"):
        return []
    mcp = await agent.container.get(MCPToolManager)
    found: list[dict[str, Any]] = []
    for name in usable(who, mcp.entries()):
        schemas = await mcp.schemas(who, [name])
        found += [{**schema["function"], "server": name} for schema in schemas]
    return found
