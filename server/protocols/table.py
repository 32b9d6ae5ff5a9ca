"""The protocols that there are, and how they come into the application."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, FastAPI

from core.settings.platform import Protocol
from server.protocols.a2a import card
from server.protocols.a2a import routes as a2a
from server.protocols.ag_ui import routes as ag_ui
from server.protocols.langgraph import routes as langgraph
from server.protocols.mcp import routes as mcp
from server.protocols.openai import routes as openai
from server.routing import add_router


@dataclass(frozen=True, slots=True)
class Wire:
    """A protocol.

    Args:
        name: What it is called in `server.protocols`.
        root: What its paths begin with, or the one that it has; errors there have the form of `refusals`.
        router: Its routes, which carry that root, made by `wire_router`.
        beside: Routes whose paths the protocol fixes, outside of its root.
    """

    name: Protocol
    root: str
    router: APIRouter
    beside: APIRouter | None = None


WIRES = (
    Wire("openai", "/v1", openai.router),
    Wire("langgraph", "/langgraph", langgraph.router),
    Wire("mcp", "/mcp", mcp.router),
    Wire("ag-ui", ag_ui.PATH, ag_ui.router),
    Wire("a2a", card.ROOT, a2a.router, beside=card.router),
)


def add_protocols(app: FastAPI) -> None:
    """Serve every protocol. One that `server.protocols` leaves out answers as if it had no routes."""
    for wire in WIRES:
        for router in (wire.router, *([wire.beside] if wire.beside else ())):
            add_router(app, router)
