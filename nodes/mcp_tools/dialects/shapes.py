"""Where the servers stand in a file, and which program it was probably written for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.settings import nearest
from nodes.mcp_tools.dialects.keys import PROGRAMS

_ENTRY = frozenset({"command", "url", "enabled", "serverUrl", "httpUrl"})
COMMON = "the common form"
FLAT = "the flat form"


@dataclass(frozen=True, slots=True)
class Shape:
    """The entries by name as they were written.

    Args:
        program: Whose form it is.
        path: The keys above the entries.
        entries: What stands there; nothing is judged yet.
        inputs: Defaults of the inputs of a VS Code file, by id.
        beside: Further keys beside the entries.
    """

    program: str
    path: tuple[str, ...]
    entries: Mapping[str, Any]
    inputs: Mapping[str, str | None] = field(default_factory=dict)
    beside: tuple[str, ...] = ()


def shape_of(data: Mapping[str, Any]) -> Shape:
    """Find the servers in a parsed file.

    Raises:
        ValueError: What should hold the servers cannot, or its name is misspelt.
    """
    for path, program in _WRAPPERS:
        found = _below(data, path)
        if found is not None and not _is_entry(found):
            return _wrapped(data, path, found, program)
    for key in data:
        near = nearest(str(key), ["mcpServers"])
        if near:
            raise ValueError(f"unknown key '{key}'; did you mean '{near}'?")
    return Shape(FLAT, (), data)


_WRAPPERS = (
    (("mcpServers",), COMMON),
    (("servers",), "VS Code"),
    (("mcp", "servers"), "VS Code"),
    (("context_servers",), "Zed"),
    (("mcp",), "opencode"),
)


def _below(data: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = data
    for key in path:
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return {} if found is None else found


def _is_entry(found: Any) -> bool:
    """In the flat form a server may be called `servers`."""
    return isinstance(found, Mapping) and any(isinstance(found.get(key), str | bool | list) for key in _ENTRY)


def _wrapped(data: Mapping[str, Any], path: tuple[str, ...], found: Any, program: str) -> Shape:
    if isinstance(found, list):
        found, program = dict(_named(found)), "Continue"
    if not isinstance(found, Mapping):
        raise ValueError(f"{'.'.join(path)} must be an object: {{name: entry}}")  # noqa: TRY004  # pydantic reports ValueError only
    beside = tuple(str(key) for key in data if key not in (path[0], "inputs"))
    return Shape(_program(found, program), path, found, dict(_inputs(data, path)), beside)


def _named(entries: list[Any]) -> Iterator[tuple[str, Any]]:
    """A list, as Continue has it: each entry says its own name."""
    for number, entry in enumerate(entries, 1):
        named = isinstance(entry, Mapping) and isinstance(entry.get("name"), str)
        yield (entry["name"] if named else f"server-{number}"), entry


def _inputs(data: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    holder = _below(data, path[:-1]) if len(path) > 1 else data
    listed = holder.get("inputs") if isinstance(holder, Mapping) else None
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, Mapping) and isinstance(entry.get("id"), str):
            default = entry.get("default")
            yield entry["id"], default if isinstance(default, str) else None


def _program(entries: Mapping[str, Any], program: str) -> str:
    if program != COMMON:
        return program
    keys = [key for entry in entries.values() if isinstance(entry, Mapping) for key in entry]
    return next((PROGRAMS[key] for key in keys if key in PROGRAMS), COMMON)
