"""The tools of this module for another module's command line, see `core.tool_bench`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from core.access import EVERY, Principal
from core.container import opened_service
from core.settings import nearest
from core.tool_bench import ToolAnswer, ToolBench
from nodes.mcp_tools.errors import UnknownTool
from nodes.mcp_tools.executor import ToolExecutor
from nodes.mcp_tools.manager import Listed, MCPToolManager
from nodes.mcp_tools.models import ExecutionContext
from nodes.mcp_tools.module import MODULE


class Bench:
    """Calls tools as a turn does: same names, same checks, same limits.

    It belongs to whoever has this machine's configuration, and may use every server.
    """

    def __init__(self, manager: MCPToolManager, executor: ToolExecutor) -> None:
        self._manager = manager
        self._executor = executor
        self._servers: list[str] = []

    def servers(self) -> Sequence[str]:
        return [name for name, entry in self._manager.entries().items() if entry.enabled]

    async def schemas(self, wanted: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        for name in wanted:
            found |= {listed.full: listed.schema for listed in await self._listed(name)}
        return list(found.values())

    async def needs_approval(self, name: str) -> bool:
        return (await self._executor.find(name, self._context(""))).approval

    async def call(self, call: Mapping[str, Any], *, refused: str = "") -> ToolAnswer:
        context = self._context(str(call.get("id") or ""))
        if refused:
            target = await self._executor.find(str(call.get("name") or ""), context)
            outcome = self._executor.refuse(call, context, target, refused)
        else:
            outcome = await self._executor.execute(call, context)
        return ToolAnswer(outcome.server, outcome.tool, outcome.status, outcome.text)

    async def _listed(self, name: str) -> list[Listed]:
        server = self._owner(name)
        await self._manager.tools(server)
        self._servers.append(server)
        known = list(self._manager.known([server]))
        found = [listed for listed in known if name in {server, listed.full}]
        if not found:
            tools = ", ".join(listed.full for listed in known) or "none"
            raise UnknownTool(f"the server '{server}' has no tool '{name}'; tools: {tools}")
        return found

    def _owner(self, name: str) -> str:
        """The server called so, or the one whose name the tool's full name begins with."""
        servers = self.servers()
        if name in servers:
            return name
        owners = [server for server in servers if name.startswith(f"{server}_")]
        if not owners:
            near = nearest(name, servers)
            hint = f"did you mean '{near}'? " if near else ""
            known = ", ".join(servers) or "none"
            raise UnknownTool(f"there is no tool server '{name[:100]}'; {hint}servers: {known}")
        return max(owners, key=len)

    def _context(self, call_id: str) -> ExecutionContext:
        groups = {group for entry in self._manager.entries().values() for group in entry.groups}
        operator = Principal("local", groups=frozenset(groups), levels=frozenset({EVERY}))
        return ExecutionContext(operator, call_id=call_id, servers=tuple(self._servers))


@asynccontextmanager
async def open_bench() -> AsyncIterator[ToolBench]:
    """A bench on this module's configuration alone; its servers end with it."""
    async with opened_service(MODULE, MCPToolManager) as (manager, container):
        yield Bench(manager, await container.get(ToolExecutor))
