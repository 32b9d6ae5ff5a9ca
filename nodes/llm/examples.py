"""Two tool schemas to try a model's tool calling with; they are never executed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def _tool(name: str, description: str, properties: dict[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


EXAMPLE_TOOLS: Mapping[str, Mapping[str, Any]] = {
    "add": _tool("add", "Add two numbers.", {"a": {"type": "number"}, "b": {"type": "number"}}),
    "now": _tool(
        "now",
        "The current date and time in a time zone.",
        {"zone": {"type": "string", "description": "IANA time zone, such as Europe/Berlin"}},
    ),
}
