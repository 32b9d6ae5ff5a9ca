"""What models are told about tools: function schemas, without the parameters that we fill in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nodes.mcp_tools.models import ToolInfo

FILLED_IN = ("_atlas_user", "username")


def function_schema(name: str, tool: ToolInfo) -> dict[str, Any]:
    """The tool as an OpenAI function."""
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": tool.description,
            "parameters": _visible(tool.parameters),
        },
    }


def _visible(schema: Mapping[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in schema.items() if key not in ("$schema", "title")}
    properties = schema.get("properties") or {}
    shown["type"] = "object"
    shown["properties"] = {k: v for k, v in properties.items() if k not in FILLED_IN}
    if "required" in schema:
        shown["required"] = [k for k in schema["required"] if k not in FILLED_IN]
    return shown
