"""Tools: MCP servers whose sessions stay open, and the step of the graph that calls them.

`answers` is the grammar of what a person says to a question, for every way in.
"""

from typing import TYPE_CHECKING

from core.names import names_from

if TYPE_CHECKING:
    from nodes.mcp_tools import answers
    from nodes.mcp_tools.calls import (
        artifacts_of,
        outcome_as_json,
        outcome_from_json,
        tool_message,
    )
    from nodes.mcp_tools.executor import ToolExecutor
    from nodes.mcp_tools.manager import MCPToolManager
    from nodes.mcp_tools.models import Artifact, CallResult, ExecutionContext, Receipt, ToolInfo, ToolOutcome
    from nodes.mcp_tools.node import ExecuteTools
    from nodes.mcp_tools.plugins import Inventory
    from nodes.mcp_tools.ports import FileLinks, Receipts
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
    "Receipt",
    "Receipts",
    "ServerEntry",
    "ToolExecutor",
    "ToolInfo",
    "ToolOutcome",
    "answers",
    "artifacts_of",
    "outcome_as_json",
    "outcome_from_json",
    "tool_message",
]

__getattr__ = names_from(
    __name__, "models", "ports", "settings", "plugins", "manager", "executor", "node", "calls"
)
