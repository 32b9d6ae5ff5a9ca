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
    shown["type"] = "object"
    shown["properties"] = {k: v for k, v in properties_of(schema).items() if k not in FILLED_IN}
    if "required" in schema:
        shown["required"] = [k for k in required_of(schema) if k not in FILLED_IN]
    return shown


def properties_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a tool; none where the schema has something else in their place."""
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


def required_of(schema: Mapping[str, Any]) -> list[str]:
    """Names of the parameters that must be given."""
    found = schema.get("required")
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
