"""A whole file: where its servers stand, and of each what was understood, or why it cannot be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.settings import nearest
from nodes.mcp_tools.dialects.entry import Remark, read_entry
from nodes.mcp_tools.dialects.keys import PROGRAMS
from nodes.mcp_tools.dialects.variables import Variables

_ENTRY = frozenset({"command", "url", "enabled", "serverUrl", "httpUrl"})
COMMON = "the common form"
FLAT = "the flat form"
_WRAPPERS = (
    (("mcpServers",), COMMON),
    (("servers",), "VS Code"),
    (("mcp", "servers"), "VS Code"),
    (("context_servers",), "Zed"),
    (("mcp",), "opencode"),
)
__all__ = ["Remark", "ServerReading", "ServersRead", "read_servers"]


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


@dataclass(frozen=True, slots=True)
class ServerReading:
    """One entry. `data` has keys of ours only.

    Args:
        problem: Why it can never be used as it is.
        missing: Values that the environment does not have, as sentences.
    """

    name: str
    data: Mapping[str, Any]
    remarks: tuple[Remark, ...] = ()
    problem: str = ""
    missing: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why it cannot be used now: a problem of the entry, or values that are not there."""
        return self.problem or "; ".join(self.missing)


@dataclass(frozen=True, slots=True)
class ServersRead:
    """Every server of a file."""

    shape: Shape
    servers: tuple[ServerReading, ...]


def read_servers(data: Mapping[str, Any], *, environ: Mapping[str, str], folder: Path | None) -> ServersRead:
    """Read a parsed file of any dialect; nothing is started and nothing looked for.

    Args:
        environ: What variables and inputs take their values from.
        folder: Where the file stands; an `envFile` and `${workspaceFolder}` start there.

    Raises:
        ValueError: The file as a whole holds no servers.
    """
    shape = shape_of(data)
    blank = Variables(environ, folder, shape.inputs)
    return ServersRead(
        shape, tuple(_server(str(name), entry, blank) for name, entry in shape.entries.items())
    )


def _server(name: str, entry: Any, blank: Variables) -> ServerReading:
    if not name.strip() or len(name) > 64 or not name.isprintable():
        return ServerReading(name, {}, problem="its name must have 1 to 64 printable characters")
    if not isinstance(entry, Mapping):
        return ServerReading(name, {}, problem="must be an object with a command or a url")
    variables = replace(blank, missing=[], per_user=_asked_of_users(entry))
    data, remarks, problem = read_entry(entry, variables)
    on = data.get("enabled", True) is not False
    return ServerReading(name, data, remarks, problem, tuple(variables.missing) if on else ())


def _asked_of_users(entry: Mapping[str, Any]) -> frozenset[str]:
    asked = entry.get("customUserVars")
    return frozenset(map(str, asked)) if isinstance(asked, Mapping) else frozenset()
