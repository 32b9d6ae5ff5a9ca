"""Tools: MCP servers in kept sessions, and the step of the graph that calls them."""

from typing import TYPE_CHECKING

from core.registry import names_from

if TYPE_CHECKING:
    from nodes.mcp_tools.executor import ToolExecutor
    from nodes.mcp_tools.manager import MCPToolManager
    from nodes.mcp_tools.models import Artifact, CallResult, ExecutionContext, ToolInfo, ToolOutcome
    from nodes.mcp_tools.node import ExecuteTools
    from nodes.mcp_tools.plugins import Inventory
    from nodes.mcp_tools.ports import FileLinks
    from nodes.mcp_tools.settings import McpFile, McpSettings, ServerEntry

__all__ = [
    "Artifact",
    "CallResult",
    "ExecuteTools",
    "ExecutionContext",
    "FileLinks",
    "Inventory",
    "MCPToolManager",
    "McpFile",
    "McpSettings",
    "ServerEntry",
    "ToolExecutor",
    "ToolInfo",
    "ToolOutcome",
]

__getattr__ = names_from(__name__, "models", "ports", "settings", "plugins", "manager", "executor", "node")
