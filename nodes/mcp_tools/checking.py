"""What a foreign file of servers would give here; nothing is started and nothing is reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.settings import ConfigErrors, ConfigProblem, read_document
from core.settings.problems import HIDDEN, redacted, sounds_secret
from nodes.mcp_tools.dialects import ServerReading, ServersRead, read_servers
from nodes.mcp_tools.settings import ServerEntry, validated


@dataclass(frozen=True, slots=True)
class ServerCheck:
    """One server of the file, without any secret.

    Args:
        state: "usable", "needs values", "switched off" or "left out".
        reason: Why it is not usable.
        transport: stdio, http or sse; empty where it cannot be told.
        runs: The command, or the address.
        takes: Keys of ours that were taken over.
        env, headers: Their names.
        ignored: By key, why it has no meaning here, or how it was read.
        mistakes: By key, what was not understood.
    """

    name: str
    state: str
    reason: str
    transport: str
    runs: str
    takes: tuple[str, ...]
    env: tuple[str, ...]
    headers: tuple[str, ...]
    ignored: Mapping[str, str]
    mistakes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FileCheck:
    """A file: whose form it has, its servers, and keys beside them that have no meaning here."""

    program: str
    servers: tuple[ServerCheck, ...]
    beside: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """True when at least one server can be used, with its values there."""
        return any(server.state != "left out" for server in self.servers)

    def as_json(self) -> dict[str, Any]:
        return {"usable": self.usable, **asdict(self)}


def check_file(path: Path, environ: Mapping[str, str]) -> FileCheck:
    """Read a file of any known dialect.

    Raises:
        ConfigErrors: It cannot be read, or holds no servers.
    """
    document = read_document(path)
    try:
        reading = read_servers(document.data, environ=environ, folder=path.parent)
    except ValueError as error:
        raise ConfigErrors([ConfigProblem(path.name, str(error))]) from None
    if not reading.servers:
        raise ConfigErrors([ConfigProblem(path.name, "names no server", remedy=_REMEDY)])
    context = {"base": path.parent, "document": document}
    servers = tuple(_checked(server, reading, context) for server in reading.servers)
    return FileCheck(reading.shape.program, servers, reading.shape.beside)


_REMEDY = 'servers stand under "mcpServers", "servers" or "context_servers", or at the top'


def _checked(server: ServerReading, reading: ServersRead, context: Mapping[str, Any]) -> ServerCheck:
    found = server.problem or validated(server, reading, context)
    entry = None if isinstance(found, str) else found
    if entry is not None and entry.enabled and not entry.complete and not server.missing:
        found, entry = "has neither command nor url", None
    return ServerCheck(
        name=server.name,
        state=_state(entry, server),
        reason=server.reason or (found if isinstance(found, str) else ""),
        transport=(entry.transport if entry else None) or "",
        runs=_runs(entry) if entry else "",
        takes=tuple(server.data),
        env=_names(server.data, "env"),
        headers=_names(server.data, "headers"),
        ignored={remark.key: remark.message for remark in server.remarks if not remark.mistake},
        mistakes={remark.key: remark.message for remark in server.remarks if remark.mistake},
    )


def _state(entry: ServerEntry | None, server: ServerReading) -> str:
    if server.problem or (entry is None and not server.missing):
        return "left out"
    if entry is not None and not entry.enabled:
        return "switched off"
    return "needs values" if server.missing else "usable"


def _runs(entry: ServerEntry) -> str:
    if entry.command is None:
        return redacted(entry.url or "")
    return " ".join(without_secrets([entry.command, *entry.args]))


def without_secrets(words: Sequence[str]) -> list[str]:
    """The words of a command; what follows `--token` and its like is hidden."""
    return [
        HIDDEN if index and _is_secret_flag(words[index - 1]) else redacted(word)
        for index, word in enumerate(words)
    ]


def _is_secret_flag(word: str) -> bool:
    return word.startswith("-") and "=" not in word and sounds_secret((word.lstrip("-"),))


def _names(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = data.get(key)
    return tuple(map(str, found)) if isinstance(found, Mapping) else ()
