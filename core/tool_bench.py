"""Tools that one module brings, for the command line of another: modules do not know each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from core.errors import Unavailable
from core.registry import Module, declared, discover, loaded


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """How a call ended: `status` is that of a turn's tool results."""

    server: str
    tool: str
    status: str
    text: str


class ToolBench(Protocol):
    """Real tools, outside of a turn. Nobody is asked here: whoever calls has asked before."""

    def servers(self) -> Sequence[str]:
        """Names of the servers that can be named."""
        ...

    async def schemas(self, wanted: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Function schemas of what is named: a server for all of its tools, or a tool by its full name.

        Only the servers of these are started.

        Raises:
            WaystationError: There is no such server or tool, or its server does not come up.
        """
        ...

    async def needs_approval(self, name: str) -> bool:
        """Whether the tool asks a person before it runs."""
        ...

    async def call(self, call: Mapping[str, Any], *, refused: str = "") -> ToolAnswer:
        """Make the call `{"id", "name", "args"}`; with `refused`, say only why it was not allowed."""
        ...


@asynccontextmanager
async def open_bench(modules: Sequence[Module] | None = None) -> AsyncIterator[ToolBench]:
    """The bench of the module that has one, on that module's configuration alone.

    Raises:
        Unavailable: No module here brings tools.
    """
    for module in discover() if modules is None else modules:
        if module.bench is not None:
            async with loaded(module.bench)() as bench:
                yield bench
            return
    raise Unavailable("no module here brings tools; see `waystation modules`")


@dataclass(frozen=True, slots=True)
class LentAnswer:
    """What a tool of a lent server answered: its text, and the JSON in it, where there is any."""

    text: str
    value: Any = None
    is_error: bool = False


class LentServer(Protocol):
    """An MCP server for the use of one module alone: no model is offered its tools."""

    async def tools(self) -> Mapping[str, Mapping[str, Any]]:
        """The schema of each tool's parameters, by its name; the server is started where it is not up.

        Raises:
            Unavailable: It does not come up.
        """
        ...

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> LentAnswer:
        """Call a tool, within the time of the server's entry.

        Raises:
            Unavailable: The server is not up, or went away.
            TimedOut: No answer in time.
            WaystationError: It refused the request, or what it answered cannot be read; `status` of
                one that has it is that of HTTP.
        """
        ...

    async def aclose(self) -> None:
        """End the session and its process."""
        ...


def lend_server(
    name: str, entry: Mapping[str, Any], *, home: Path, modules: Sequence[Module] | None = None
) -> LentServer:
    """A server by an entry as mcp.json has them, from the module that keeps such sessions.

    Args:
        home: The service's, for logs.

    Raises:
        ConfigInvalid: No server can be made of the entry.
        Unavailable: No module here keeps sessions with servers.
    """
    for module in declared() if modules is None else modules:
        if module.lend is not None:
            lent: LentServer = loaded(module.lend)(name, entry, home=home)
            return lent
    raise Unavailable("no module here speaks MCP; see `waystation modules`")
