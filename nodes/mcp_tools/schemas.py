"""What models are told about tools: names in the alphabet of model APIs, and function schemas."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from core.forms import client_tools_in
from nodes.mcp_tools.arguments import properties_of, required_of
from nodes.mcp_tools.models import ToolInfo
from nodes.mcp_tools.settings import FILLED_IN

_LIMIT = 64
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


def safe(name: str) -> str:
    """`name` with every character outside A-Z, a-z, 0-9, _ and - replaced."""
    return _FOREIGN.sub("_", name)


def file_stem(server: str) -> str:
    """A file name part for a server, different for different servers."""
    return server if safe(server) == server else f"{safe(server)}-{_digest(server)}"


def full_name(server: str, tool: str, servers: Iterable[str]) -> str:
    """The function name of a tool, the same whichever servers happen to be up.

    Two pairs can only meet where a name had to be changed, or where another
    server's name begins what would be the tool's part ("a" with "b_c", and
    "a_b" with "c"). Such a name ends in a digest of the pair.

    Args:
        servers: The names of all configured servers.
    """
    plain = f"{server}_{tool}"
    readable = safe(plain)
    taken = any(len(other) > len(server) and plain.startswith(f"{other}_") for other in servers)
    if readable == plain and len(plain) <= _LIMIT and not taken:
        return plain
    digest = _digest(f"{server}\0{tool}")
    return f"{readable[: _LIMIT - len(digest) - 1]}_{digest}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


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


def client_tools(config: Mapping[str, Any]) -> dict[str, ToolInfo]:
    """The tools of a turn that its caller runs, by their names."""
    if not config.get("client_tools"):
        return {}
    functions = [tool["function"] for tool in client_tools_in(config)]
    return {
        each["name"]: ToolInfo(each["name"], each["description"], each["parameters"]) for each in functions
    }


def _visible(schema: Mapping[str, Any], hidden: Sequence[str]) -> dict[str, Any]:
    shown = {key: value for key, value in schema.items() if key not in ("$schema", "title")}
    shown["type"] = "object"
    shown["properties"] = {k: v for k, v in properties_of(schema).items() if k not in hidden}
    if "required" in schema:
        shown["required"] = [k for k in required_of(schema) if k not in hidden]
    return shown
