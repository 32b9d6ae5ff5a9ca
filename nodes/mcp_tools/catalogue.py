"""What models are told about tools: function schemas, without the parameters that we fill in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nodes.mcp_tools.models import ToolInfo
from nodes.mcp_tools.settings import ServerEntry

FILLED_IN = ("_atlas_user",)
"""Parameters that get the user's name at every server: no tool has this one by chance."""
ON_REQUEST = ("_atlas_user", "username")
"""Those of a server that asks for it: elsewhere `username` may be anybody's name."""


def filled_in(entry: ServerEntry) -> tuple[str, ...]:
    """The parameters that we fill in with the user's name, whatever the model wrote."""
    return ON_REQUEST if entry.fill_username else FILLED_IN


def function_schema(name: str, tool: ToolInfo, *, hidden: Sequence[str] = FILLED_IN) -> dict[str, Any]:
    """The tool as an OpenAI function, without the parameters `hidden`."""
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": tool.description,
            "parameters": _visible(tool.parameters, hidden),
        },
    }


def _visible(schema: Mapping[str, Any], hidden: Sequence[str]) -> dict[str, Any]:
    shown = {key: value for key, value in schema.items() if key not in ("$schema", "title")}
    shown["type"] = "object"
    shown["properties"] = {k: v for k, v in properties_of(schema).items() if k not in hidden}
    if "required" in schema:
        shown["required"] = [k for k in required_of(schema) if k not in hidden]
    return shown


def properties_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a tool; none where the schema has something else in their place."""
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


def required_of(schema: Mapping[str, Any]) -> list[str]:
    """Names of the parameters that must be given."""
    found = schema.get("required")
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
