"""What the registry learns of this module."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from dishka import AsyncContainer

from core.health import Health
from core.registry import Module
from core.settings import ConfigFile, Finding, Section
from nodes.mcp_tools.cli import app
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.provider import McpProvider
from nodes.mcp_tools.settings import McpFile, McpSettings


async def check(container: AsyncContainer) -> Health:
    """Health of the tool servers."""
    manager = await container.get(MCPToolManager)
    return await manager.check()


def missing_commands(file: McpFile) -> Iterator[Finding]:
    """Servers whose command is not installed here."""
    for name, entry in file.servers.items():
        if entry.enabled and entry.command and not shutil.which(entry.command):
            key = ("mcpServers", name, "command")
            message = f"the command '{entry.command}' is not on the PATH"
            yield key, message, 'install it, or set "enabled": false'


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
    sections=(Section("mcp", McpSettings),),
    files=(ConfigFile("servers", ("mcp.json",), McpFile, review=missing_commands),),
    start=start,
    required=False,
)
