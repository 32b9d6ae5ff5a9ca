"""What the registry learns of this module."""

from __future__ import annotations

from dishka import AsyncContainer

from core.health import Health
from core.registry import Module, NodeSpec
from core.settings import ConfigFile, Section
from nodes.mcp_tools.bench import open_bench
from nodes.mcp_tools.cli import app
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.plugins import manifests, missing_commands, take_inventory
from nodes.mcp_tools.provider import McpProvider
from nodes.mcp_tools.settings import McpFile, McpSettings


async def check(container: AsyncContainer) -> Health:
    """Health of the tool servers."""
    manager = await container.get(MCPToolManager)
    return await manager.check()


async def start(container: AsyncContainer) -> None:
    """Start every server in the background."""
    manager = await container.get(MCPToolManager)
    await manager.start()


MODULE = Module(
    name="mcp_tools",
    summary="Tools of MCP servers, each in a kept session",
    version="0.1.0",
    command="mcp",
    cli=app,
    provider=McpProvider,
    check=check,
    node=NodeSpec("execute_tools", "nodes.mcp_tools.node:ExecuteTools"),
    sections=(Section("mcp", McpSettings, live=("bundled", "disabled", "plugins")),),
    files=(
        ConfigFile(
            "servers",
            ("mcp.json",),
            McpFile,
            review=missing_commands,
            listing=take_inventory,
            live=True,
            beside=manifests,
            own_variables=True,
        ),
    ),
    start=start,
    bench=open_bench,
    required=False,
)
