"""All tool servers of a service, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from langgraph.errors import GraphInterrupt

from core.access import Principal, usable
from core.cache import Cache
from core.correlation import Correlation
from core.errors import Unavailable
from core.events import Event
from core.health import Health, patience
from core.resilience import Policies, Policy, ResilienceSettings
from core.settings.book import EntryResources, Part
from nodes.mcp_tools import events
from nodes.mcp_tools.calls import full_name, function_schema
from nodes.mcp_tools.errors import ServerDown, ServerFailed, ServerGone, UnknownServer
from nodes.mcp_tools.health import health_of
from nodes.mcp_tools.models import Ask, CallResult, Limits, Progress, ServerState, ServerStatus, ToolInfo
from nodes.mcp_tools.plugins import Inventory
from nodes.mcp_tools.ports import Observer, ToolConnector
from nodes.mcp_tools.server import ToolServer
from nodes.mcp_tools.settings import McpSettings, ServerEntry
from nodes.mcp_tools.tool_list import ToolListCache


@dataclass(frozen=True, slots=True)
class Listed:
    """A tool under the name that models know. Readers leave `schema` as it is."""

    full: str
    server: str
    tool: ToolInfo
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Listing:
    """The tools of a server, and what their names were made from."""

    inventory: Inventory
    tools: tuple[ToolInfo, ...]
    listed: tuple[Listed, ...]


class MCPToolManager:
    """Keeps a session with each server, lists their tools and calls them.

    A server starts when it is first needed; `start` starts all at once in the
    background. Close with `aclose`, or use `async with`.

    Args:
        inventory: Which servers there are; a part, where they may change while
            the service runs. A server whose entry stays the same keeps its session.
        policies: How servers are called; None: as the defaults say.
        publish: Told of servers that come and go.
        cache: Knows lists of tools from before; None: every server is waited for.
    """

    def __init__(
        self,
        inventory: Inventory | Part[Inventory],
        connector: ToolConnector,
        settings: McpSettings,
        *,
        policies: Policies | None = None,
        publish: Callable[[Event], None] = lambda _: None,
        cache: Cache | None = None,
    ) -> None:
        self._part = Part.of(inventory)
        self._connector = connector
        self._settings = settings
        self._policies = policies or Policies(ResilienceSettings())
        self._publish = publish
        self._lists = ToolListCache(cache)
        self._started = False
        self._listings: WeakKeyDictionary[ToolServer, _Listing] = WeakKeyDictionary()
        self._sessions: EntryResources[ServerEntry, ToolServer] = EntryResources(
            lambda: [known.servers for known in self._part.living()],
            self._open,
            lambda server: server.aclose(),
        )
        self._known = (self._part.now, self._enabled(self._part.now))
        self._part.on_change(adopted=self._adopt, retired=self._retired)

    async def __aenter__(self) -> MCPToolManager:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    @property
    def callers_may_lower_approval(self) -> bool:
        return self._settings.callers_may_lower_approval

    @property
    def inventory(self) -> Inventory:
        return self._part.now

    @property
    def _servers(self) -> dict[str, ToolServer]:
        """The enabled servers of the edition that holds here."""
        inventory = self._part.now
        if self._known[0] is not inventory:
            self._known = (inventory, self._enabled(inventory))
        return self._known[1]

    def _enabled(self, inventory: Inventory) -> dict[str, ToolServer]:
        servers = inventory.servers
        return {name: self._sessions.get(name, entry) for name, entry in servers.items() if entry.enabled}

    def _open(self, name: str, entry: ServerEntry) -> ToolServer:
        nobody = Correlation()  # a server comes and goes for no turn in particular

        def up() -> None:
            self._publish(events.ServerUp(server=name, by=nobody))
            # What the breaker holds against it was another process's fault, or another session's.
            self._policies.hurry("server", name)

        def down(reason: str) -> None:
            self._publish(events.ServerDown(server=name, reason=reason, by=nobody))

        observer = Observer(up, down, lambda tools: self._lists.put(name, entry, tools))
        own, usual = entry.init_timeout_s, self._settings
        start_s = own or usual.start_timeout_s
        limits = Limits(
            start_s=start_s,
            call_s=self._policy(name, entry).settings.timeout_s,
            result_bytes=entry.max_result_bytes or usual.max_result_bytes,
            first_s=own or max(usual.first_start_s, start_s),
        )
        return ToolServer(name, entry, self._connector, limits, observer)

    def _policy(self, name: str, entry: ServerEntry) -> Policy:
        return self._policies.of("server", name, timeout_s=entry.timeout_s or self._settings.call_timeout_s)

    def entries(self) -> Mapping[str, ServerEntry]:
        """Every configured server, also those that are switched off."""
        return self.inventory.servers

    def tool_names(self, server: str) -> Sequence[str]:
        """Full names of the server's tools as far as they are known now."""
        return [listed.full for listed in self.known([server])]

    def full_name(self, server: str, tool: str) -> str:
        return full_name(server, tool, self.inventory.servers)

    async def start(self) -> None:
        """Start every server in the background, also those that come later; returns at once."""
        self._started = True
        self._adopt(self._part.now)

    def _adopt(self, inventory: Inventory) -> None:
        """Start what is new or changed; what it replaces lives until the last turn with it has ended."""
        if self._started:
            for server in self._enabled(inventory).values():
                server.start()

    async def _retired(self, _: Inventory) -> None:
        self._policies.retain("server", {name for known in self._part.living() for name in known.servers})
        await self._sessions.tidy()

    async def tools(self, server: str) -> Sequence[ToolInfo]:
        """The server's tools, waiting for its start.

        Raises:
            UnknownServer: There is none of this name, or it is switched off.
            ServerDown: It is not up.
        """
        found = self._server(server)
        await found.ready()
        return found.tools

    async def schemas(
        self, principal: Principal, servers: Sequence[str], tools: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Function schemas of the tools that the principal may use; servers that are down are left out.

        Waits for the start of a server only where nobody knows its tools.

        Args:
            tools: Full tool names to offer; None for every tool of `servers`.
        """
        wanted = None if tools is None else frozenset(tools)
        found = self.known(await self.ready(principal, servers))
        return [listed.schema for listed in found if wanted is None or listed.full in wanted]

    async def ready(self, principal: Principal, servers: Sequence[str] | None = None) -> list[str]:
        """Names of the servers that the principal may use and whose tools can be offered.

        That are those that are up, and those that are on their way up whose
        tools are known: a call waits for them.
        """
        allowed = usable(principal, self.inventory.servers)
        chosen = [self._servers[name] for name in allowed if servers is None or name in servers]
        now = asyncio.get_running_loop().time()
        due = [server for server in chosen if server.state is not ServerState.DOWN and server.look_at <= now]
        if due:
            await asyncio.gather(*(self._look(server) for server in due))
        return [server.name for server in chosen if server.state is not ServerState.DOWN and server.known]

    async def _look(self, server: ToolServer) -> None:
        """Learn which tools a server is known to have, and start it."""
        server.looking()
        server.start()
        with suppress(ServerDown):  # its state says so; the others go on without it
            server.assume(await self._lists.get(server.name, server.entry, server.listing))

    def known(self, servers: Iterable[str]) -> Iterator[Listed]:
        """Every tool of `servers` that is known now."""
        found = self._servers
        for server in servers:
            if server in found:  # outside of a turn, the servers may have changed meanwhile
                yield from self._listing(found[server])

    def _listing(self, server: ToolServer) -> Sequence[Listed]:
        """Made once per list of tools: each turn asks for it several times."""
        known = self._listings.get(server)
        if known is None or known.tools is not server.tools or known.inventory is not self.inventory:
            tools, hidden = server.tools, server.entry.filled_in
            offered = [
                (self.full_name(server.name, tool.name), tool)
                for tool in tools
                if server.entry.offers(tool.name)
            ]
            listed = tuple(
                Listed(name, server.name, tool, function_schema(name, tool, hidden=hidden))
                for name, tool in offered
            )
            known = self._listings[server] = _Listing(self.inventory, tools, listed)
        return known.listed

    async def call(
        self,
        server: str,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        progress: Progress | None = None,
        ask: Ask | None = None,
    ) -> CallResult:
        """Call a tool by its bare name. It is called twice only where nothing was sent the first time.

        Args:
            ask: As of `ToolConnection.call`.

        Raises:
            UnknownServer: There is no such server, or it is switched off.
            BreakerOpen: The server failed too often and is left alone for a while.
            TooBusy: Too many calls of the server are going and waiting.
            WaystationError: What `ToolServer.call` raises.
        """
        found = self._server(server)
        # A server bounds a start and a call by themselves; a policy only knows of both together.
        longest = found.limits.first_s + found.limits.call_s
        answer = await self._policy(server, found.entry).call(
            lambda: _or_question(found.call(tool, arguments, progress=progress, ask=ask)),
            timeout_s=longest,
            retry=_not_sent,
        )
        if isinstance(answer, GraphInterrupt):
            raise answer
        return answer

    async def restart(self, server: str) -> None:
        """Close the server's session and open a new one.

        Raises:
            UnknownServer: There is no such server, or it is switched off.
            ServerDown: It did not come up.
        """
        await self._server(server).restart()

    def limits(self, server: str) -> Limits:
        return self._server(server).limits

    def status(self) -> Mapping[str, ServerStatus]:
        """How each enabled server is doing."""
        return {name: server.status() for name, server in self._servers.items()}

    async def check(self) -> Health:
        """Degraded while an enabled server is not well or a plugin is broken; turns work without tools."""
        if seconds := patience():
            # A server that nobody has called yet is well as long as it is not asked.
            starts = (server.ready(seconds) for server in self._servers.values())
            await asyncio.gather(*starts, return_exceptions=True)
        breakers = {t.name: t for t in self._policies.status() if t.kind == "server"}
        return health_of(self.status(), breakers, self.inventory)

    async def aclose(self) -> None:
        """Close every session and end every process."""
        try:
            await self._sessions.aclose()
        finally:
            await self._lists.aclose()

    def _server(self, server: str) -> ToolServer:
        found = self._servers
        if server in found:
            return found[server]
        broken = {plugin.name: plugin.problem for plugin in self.inventory.plugins if plugin.problem}
        left_out = self.inventory.unusable.get(server) or broken.get(server)
        state = "is switched off" if server in self.inventory.servers else "is not known"
        state = f"is left out ({left_out})" if left_out else state
        known = ", ".join(found) or "none"
        raise UnknownServer(f"the tool server '{server}' {state}; servers: {known}")


async def _or_question(call: Awaitable[CallResult]) -> CallResult | GraphInterrupt:
    """A server that asks is well, and has answered as far as its breaker is concerned."""
    try:
        return await call
    except GraphInterrupt as question:
        return question


def _not_sent(error: Unavailable) -> bool:
    return isinstance(error, ServerGone) and not isinstance(error, ServerFailed) and not error.sent
