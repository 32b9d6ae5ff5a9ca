"""The schemas of the tools that ship with Waystation, as a model is shown them."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

from tools.calculator.server import server as calculator
from tools.clock.server import server as clock
from tools.tables.server import server as tables


@cache
def bundled_schemas() -> tuple[dict[str, Any], ...]:
    """OpenAI function schemas, names prefixed with their server's."""
    return tuple(asyncio.run(_schemas()))


async def _schemas() -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {
                "name": f"{prefix}_{tool.name}",
                "description": tool.description or "",
                "parameters": tool.inputSchema,
            },
        }
        for prefix, server in (("calculator", calculator), ("clock", clock), ("tables", tables))
        for tool in await server.list_tools()
    ]
