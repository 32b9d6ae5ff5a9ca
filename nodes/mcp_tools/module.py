"""What the registry learns of this module."""

from __future__ import annotations

from core.registry import Module
from core.settings import ConfigFile, Section
from core.steps import Step
from nodes.mcp_tools.plugins import manifests, missing_commands, take_inventory
from nodes.mcp_tools.settings import McpFile, McpSettings

MODULE = Module(
    name="mcp_tools",
    summary="Tools of MCP servers, each in a kept session",
    command="mcp",
    cli="nodes.mcp_tools.cli:app",
    provider="nodes.mcp_tools.provider:McpProvider",
    service="nodes.mcp_tools.manager:MCPToolManager",
    eager=True,  # starts every server, in the background
    step=Step("execute_tools", "nodes.mcp_tools.node:ExecuteTools", part="tools"),
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
    bench="nodes.mcp_tools.bench:open_bench",
    required=False,
)
