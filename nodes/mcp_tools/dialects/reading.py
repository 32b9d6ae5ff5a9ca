"""A whole file: each server by itself, with what was understood, what was not, and why one cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nodes.mcp_tools.dialects.entry import Remark, read_entry
from nodes.mcp_tools.dialects.shapes import Shape, shape_of
from nodes.mcp_tools.dialects.variables import Variables

__all__ = ["Reading", "Remark", "ServerReading", "read_servers"]


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
class Reading:
    """Every server of a file."""

    shape: Shape
    servers: tuple[ServerReading, ...]


def read_servers(data: Mapping[str, Any], *, environ: Mapping[str, str], folder: Path | None) -> Reading:
    """Read a parsed file of any dialect; nothing is started and nothing looked for.

    Args:
        environ: What variables and inputs take their values from.
        folder: Where the file stands; an `envFile` and `${workspaceFolder}` start there.

    Raises:
        ValueError: The file as a whole holds no servers.
    """
    shape = shape_of(data)
    blank = Variables(environ, folder, shape.inputs)
    return Reading(shape, tuple(_server(str(name), entry, blank) for name, entry in shape.entries.items()))


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
