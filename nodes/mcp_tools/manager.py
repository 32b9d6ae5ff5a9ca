"""All tool servers of a service, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.access import Principal, usable
from core.health import Health, degraded, healthy
from nodes.mcp_tools.catalogue import function_schema
from nodes.mcp_tools.errors import ServerDown, UnknownServer
from nodes.mcp_tools.keeper import Limits, ServerKeeper
from nodes.mcp_tools.models import CallResult, Progress, ServerState, ServerStatus, ToolInfo
from nodes.mcp_tools.naming import full_name
from nodes.mcp_tools.plugins import Inventory
from nodes.mcp_tools.ports import ToolConnector
from nodes.mcp_tools.settings import McpSettings, ServerEntry


@dataclass(frozen=True, slots=True)
class Listed:
    """A tool under the name that models know. Readers leave `schema` as it is."""

    full: str
    server: str
    tool: ToolInfo
    schema: dict[str, Any]


class MCPToolManager:
    """Keeps a session with each server, lists their tools and calls them.

    A server starts when it is first needed; `start` starts all at once in the
    background. Close with `aclose`, or use `async with`.
    """

    def __init__(self, inventory: Inventory, connector: ToolConnector, settings: McpSettings) -> None:
        self._inventory = inventory
        self._listings: dict[str, tuple[tuple[ToolInfo, ...], tuple[Listed, ...]]] = {}
        self._keepers = {
            name: ServerKeeper(name, entry, connector, _limits(entry, settings))
            for name, entry in inventory.servers.items()
            if entry.enabled
        }

    async def __aenter__(self) -> MCPToolManager:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    @property
    def inventory(self) -> Inventory:
        return self._inventory

    def entries(self) -> Mapping[str, ServerEntry]:
        """Every configured server, also those that are switched off."""
        return self._inventory.servers

    def tool_names(self, server: str) -> Sequence[str]:
        """Full names of the server's tools as far as they are known now."""
        keeper = self._keepers.get(server)
        return [listed.full for listed in self._listing(keeper)] if keeper else []

    def full_name(self, server: str, tool: str) -> str:
        return full_name(server, tool, self._inventory.servers)

    async def start(self) -> None:
        """Start every server in the background; returns at once."""
        for keeper in self._keepers.values():
            keeper.start()

    async def tools(self, server: str) -> Sequence[ToolInfo]:
        """The server's tools, waiting for its start.

        Raises:
            UnknownServer: There is none of this name, or it is switched off.
            ServerDown: It is not up.
        """
        keeper = self._keeper(server)
        await keeper.ready()
        return keeper.tools

    async def schemas(
        self, principal: Principal, servers: Sequence[str], tools: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Function schemas of the tools that the principal may use; servers that are down are left out.

        Args:
            tools: Full tool names to keep; None for every tool of `servers`.
        """
        wanted = None if tools is None else frozenset(tools)
        found = self.known(await self.ready(principal, servers))
        return [listed.schema for listed in found if wanted is None or listed.full in wanted]

    async def ready(self, principal: Principal, servers: Sequence[str] | None = None) -> list[str]:
        """Names of the servers that the principal may use and that are up, waiting for their start."""
        allowed = usable(principal, self._inventory.servers)
        keepers = [self._keepers[n] for n in allowed if servers is None or n in servers]
        if any(keeper.state is not ServerState.UP for keeper in keepers):
            await asyncio.gather(*(_settle(keeper) for keeper in keepers))
        return [keeper.name for keeper in keepers if keeper.state is ServerState.UP]

    def known(self, servers: Sequence[str]) -> Iterator[Listed]:
        """Every tool of `servers` that is known now."""
        for server in servers:
            yield from self._listing(self._keepers[server])

    def _listing(self, keeper: ServerKeeper) -> Sequence[Listed]:
        """Made once per list of tools: each turn asks for it several times."""
        tools, listing = self._listings.get(keeper.name, ((), ()))
        if tools is not keeper.tools:
            tools = keeper.tools
            names = [self.full_name(keeper.name, tool.name) for tool in tools]
            listing = tuple(
                Listed(name, keeper.name, tool, function_schema(name, tool))
                for name, tool in zip(names, tools, strict=True)
            )
            self._listings[keeper.name] = (tools, listing)
        return listing

    async def call(
        self,
        server: str,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        progress: Progress | None = None,
    ) -> CallResult:
        """Call a tool by its bare name.

        Raises:
            UnknownServer: There is no such server, or it is switched off.
            ServerDown: The server is not up.
            CallTimedOut: No answer within the server's time limit.
            ServerGone: The server went away during the call.
            ToolRefused: The server refused the request.
            ResultTooLarge: The result is too large to be read.
        """
        return await self._keeper(server).call(tool, arguments, progress=progress)

    async def restart(self, server: str) -> None:
        """Close the server's session and open a new one.

        Raises:
            UnknownServer: There is no such server, or it is switched off.
            ServerDown: It did not come up.
        """
        await self._keeper(server).restart()

    def limits(self, server: str) -> Limits:
        return self._keeper(server).limits

    def status(self) -> Mapping[str, ServerStatus]:
        """How each enabled server is doing."""
        return {name: keeper.status() for name, keeper in self._keepers.items()}

    async def check(self) -> Health:
        """Degraded while an enabled server is down or a plugin is broken; turns work without tools."""
        status = self.status()
        broken = {p.name: p.problem for p in self._inventory.plugins if p.problem}
        down = sorted(name for name, s in status.items() if s.state is ServerState.DOWN)
        details = {"servers": {name: s.as_json() for name, s in status.items()}, "broken_plugins": broken}
        reasons = [f"server '{name}' is down: {status[name].last_error}" for name in down]
        reasons += [f"plugin '{name}' is broken: {problem}" for name, problem in broken.items()]
        return degraded("; ".join(reasons), **details) if reasons else healthy(**details)

    async def aclose(self) -> None:
        """Close every session and end every process."""
        closing = [asyncio.ensure_future(keeper.aclose()) for keeper in self._keepers.values()]
        try:
            await asyncio.gather(*closing)
        except asyncio.CancelledError:
            await asyncio.gather(*closing, return_exceptions=True)  # bounded: a kill follows the grace time
            raise

    def _keeper(self, server: str) -> ServerKeeper:
        try:
            return self._keepers[server]
        except KeyError:
            known = ", ".join(self._keepers) or "none"
            state = "is switched off" if server in self._inventory.servers else "is not known"
            raise UnknownServer(f"the tool server '{server}' {state}; servers: {known}") from None


async def _settle(keeper: ServerKeeper) -> None:
    try:
        await keeper.ready()
    except ServerDown:
        return  # its state says so; the others go on without it


def _limits(entry: ServerEntry, settings: McpSettings) -> Limits:
    return Limits(
        start_s=settings.start_timeout_s,
        call_s=entry.timeout_s or settings.call_timeout_s,
        result_bytes=entry.max_result_bytes or settings.max_result_bytes,
    )
