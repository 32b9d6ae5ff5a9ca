"""An answer on its way from the process that got it to the one with the stream: a signal has no content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.access import Principal
from core.errors import WaystationError
from graph.agent import Agent

_NAMESPACE = ("waystation-mcp",)
# It is read at once; where nobody waits any more it goes by itself.
_MINUTES = 5


async def keep(agent: Agent, who: Principal, call_id: str, said: Mapping[str, Any]) -> bool:
    """Keep an answer for the process that waits for it; False where it cannot be kept."""
    items = await agent.items()
    try:
        await items.put(who, _NAMESPACE, call_id, said, minutes=_MINUTES)
    except WaystationError:
        return False
    return True


async def kept(agent: Agent, who: Principal, call_id: str) -> object:
    """The answer that was kept, once."""
    items = await agent.items()
    found = await items.get(who, _NAMESPACE, call_id)
    await items.delete(who, _NAMESPACE, call_id)
    return found["value"] if found else None
