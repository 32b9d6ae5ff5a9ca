"""The agent's card: who it is and how it is asked. It needs no login, so it says nothing of what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request

from core.access import Principal, usable
from core.events.settings import WebhookSettings
from core.settings.platform import ServerSettings
from graph.agent import Agent
from nodes.mcp_tools import MCPToolManager
from nodes.rag import RAGClient
from server.protocols.a2a.earlier import card_fields
from server.protocols.switch import wire_router
from server.routes.common import OpenAgent

ROOT = "/a2a"
VERSION = "1.0"
_SHOWN = 50

router = wire_router("a2a")


@router.get("/.well-known/agent-card.json")
async def agent_card(request: Request, agent: OpenAgent) -> dict[str, Any]:
    """The card, for anybody."""
    return card_of(agent, request)


def card_of(agent: Agent, request: Request) -> dict[str, Any]:
    """The card, the same for everybody."""
    url = f"{base_of(agent, request)}{ROOT}"
    card: dict[str, Any] = {
        "name": "Waystation",
        "description": "An agent that searches the sources of its house and uses its tools.",
        "version": VERSION,
        "supportedInterfaces": [
            {
                "url": url,
                "protocolBinding": "JSONRPC",
                "protocolVersion": VERSION,
            }
        ],
        "capabilities": {
            "streaming": True,
            "pushNotifications": agent.book[WebhookSettings].run_secret is not None,
            "extendedAgentCard": True,
        },
        "defaultInputModes": ["text/plain", "application/json", "application/octet-stream"],
        "defaultOutputModes": ["text/plain", "application/json"],
        "skills": [_skill("ask", "Ask", "Answers a question, with its sources.", "chat")],
        **card_fields(url),
    }
    if request.app.state.authenticator.logins:
        # Of each pair, the second is 0.3's form.
        scheme = {"httpAuthSecurityScheme": {"scheme": "Bearer"}, "type": "http", "scheme": "Bearer"}
        card["securitySchemes"] = {"bearer": scheme}
        card["securityRequirements"] = [{"schemes": {"bearer": {"list": []}}}]
        card["security"] = [{"bearer": []}]
    return card


async def extended_card(agent: Agent, who: Principal, request: Request) -> dict[str, Any]:
    """The card with what this caller may search and use."""
    card = card_of(agent, request)
    skills: list[Mapping[str, Any]] = list(card["skills"])
    if agent.has("rag"):
        rag = await agent.container.get(RAGClient)
        for source in await rag.discover(who):
            found = source.as_json()
            told = str(found.get("description") or f"Searches the source {found['name']}.")
            skills.append(_skill(f"source:{found['name']}", f"Search {found['name']}", told, "search"))
    if agent.has("mcp_tools"):
        mcp = await agent.container.get(MCPToolManager)
        for name, entry in usable(who, mcp.entries()).items():
            told = str(entry.description or entry.short_description or f"Uses the tools of {name}.")
            skills.append(_skill(f"tools:{name}", f"Use {name}", told, "tools", *mcp.tool_names(name)[:20]))
    return {**card, "skills": skills[:_SHOWN]}


def base_of(agent: Agent, request: Request) -> str:
    """The service's address, as others reach it."""
    return (agent.book[ServerSettings].public_url or str(request.base_url)).rstrip("/")


def _skill(key: str, name: str, told: str, *tags: str) -> dict[str, Any]:
    return {"id": key, "name": name, "description": told, "tags": list(tags)}
