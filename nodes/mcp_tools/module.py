"""What the registry learns of this module."""

from __future__ import annotations

from core.registry import Module, late
from core.steps import Step

MODULE = Module(
    name="mcp_tools",
    summary="Tools of MCP servers, each in a kept session",
    command="mcp",
    cli="nodes.mcp_tools.cli:app",
    provider="nodes.mcp_tools.provider:McpProvider",
    service="nodes.mcp_tools.manager:MCPToolManager",
    eager=True,  # starts every server, in the background
    step=Step("execute_tools", "nodes.mcp_tools.node:ExecuteTools", part="tools"),
    sections=late("nodes.mcp_tools.plugins:SECTIONS"),
    files=late("nodes.mcp_tools.plugins:FILES"),
    bench="nodes.mcp_tools.bench:open_bench",
    lend="nodes.mcp_tools.lending:lend",
    required=False,
    events=("ServerDown", "ServerUp", "ToolExecuted", "ToolReviewed"),
)
