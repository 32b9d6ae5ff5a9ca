"""What this service says of itself on this wire, and the parts that it does not serve."""

from __future__ import annotations

from typing import Any

from core.installed import installed_version
from server.middleware.auth import Caller
from server.protocols.langgraph.reading import Id
from server.protocols.langgraph.words import NotOffered
from server.protocols.switch import wire_router
from server.routes.common import OpenAgent

router = wire_router("langgraph", "/langgraph")


@router.get("/ok")
async def ok(_: Caller) -> dict[str, bool]:
    """The service answers."""
    return {"ok": True}


@router.get("/info")
async def info(_: Caller) -> dict[str, Any]:
    """What it is and does."""
    return {
        "version": installed_version(),
        "flags": {
            "assistants": True,
            "crons": True,
            "store": True,
            "langsmith": False,
            "strict_resume": True,
        },
        "metadata": {},
    }


@router.post("/threads/{thread_id}/commands")
@router.post("/threads/{thread_id}/stream/events")
async def newer(thread_id: Id, agent: OpenAgent, who: Caller) -> None:
    """The newer protocol, commands and channels of a thread, is not spoken."""
    await agent.threads.get(who, thread_id)
    raise NotOffered("commands and channels of a thread are not served; use /threads/{id}/runs/stream")
