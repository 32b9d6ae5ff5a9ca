"""Managers and executors over fake servers, and what they published."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from core.access import Principal
from core.cache import Cache
from core.events import Event
from core.resilience import Policies, ResilienceSettings
from nodes.mcp_tools.executor import ToolExecutor
from nodes.mcp_tools.fake import FakeConnection, FakeConnector, FakeLinks, FakeServer, Work
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.models import (
    CallResult,
    Content,
    ExecutionContext,
    Progress,
    ToolInfo,
    ToolList,
    ToolOutcome,
)
from nodes.mcp_tools.plugins import Inventory
from nodes.mcp_tools.ports import Listener
from nodes.mcp_tools.settings import McpSettings, ServerEntry

ADA = ExecutionContext(Principal("ada"), call_id="c1")


async def echo(arguments: Mapping[str, Any], _: Progress) -> str:
    return str(arguments.get("text", ""))


async def fail(_: Mapping[str, Any], __: Progress) -> CallResult:
    return CallResult((Content("text", "that went wrong"),), is_error=True)


async def hang(_: Mapping[str, Any], __: Progress) -> str:
    return str(await asyncio.Event().wait())


def server(*names: str) -> FakeServer:
    """A fake with `echo`, `fail` and `hang`, or with these echoes."""
    found = FakeServer()
    works: dict[str, Work] = {"echo": echo, "fail": fail, "hang": hang}
    if names:
        works = dict.fromkeys(names, echo)
    for name, work in works.items():
        found.add(ToolInfo(name, f"Does {name}."), work)
    return found


class GatedConnector(FakeConnector):
    """Servers that take as long to start as `gate` is shut."""

    def __init__(self, servers: Mapping[str, FakeServer]) -> None:
        super().__init__(servers)
        self.gate = asyncio.Event()

    @asynccontextmanager
    async def open(
        self, name: str, entry: ServerEntry, listener: Listener, *, max_result_bytes: int
    ) -> AsyncIterator[FakeConnection]:
        await self.gate.wait()
        async with super().open(name, entry, listener, max_result_bytes=max_result_bytes) as connection:
            yield connection


class OddConnector(FakeConnector):
    """Servers whose list of tools, asked for again, is what `again` gives."""

    def __init__(self, servers: Mapping[str, FakeServer]) -> None:
        super().__init__(servers)
        self.again: Callable[[], Awaitable[ToolList]] | None = None

    @asynccontextmanager
    async def open(
        self, name: str, entry: ServerEntry, listener: Listener, *, max_result_bytes: int
    ) -> AsyncIterator[FakeConnection]:
        async with super().open(name, entry, listener, max_result_bytes=max_result_bytes) as connection:
            yield _Odd(connection, self)


class _Odd(FakeConnection):
    def __init__(self, connection: FakeConnection, connector: OddConnector) -> None:
        super().__init__(connection._server)
        self._connector = connector

    async def tools(self) -> ToolList:
        return await (self._connector.again or super().tools)()


@dataclass
class Desk:
    """A manager, an executor on it, and every event of both."""

    manager: MCPToolManager
    policies: Policies
    events: list[Event]
    executor: ToolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self.executor = ToolExecutor(self.manager, FakeLinks(), publish=self.events.append)

    async def run(self, name: str, context: ExecutionContext = ADA, **args: Any) -> ToolOutcome:
        return await self.executor.execute({"id": "c1", "name": name, "args": args}, context)

    def breaker(self, name: str) -> str:
        return next(t.state for t in self.policies.status() if (t.kind, t.name) == ("server", name))

    def told(self) -> list[str]:
        """Names of the events so far."""
        return [event.what for event in self.events]


@asynccontextmanager
async def desk(
    connector: FakeConnector,
    entries: Mapping[str, ServerEntry],
    *,
    cache: Cache | None = None,
    resilience: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Desk]:
    """A desk over these servers; `settings` are of the section mcp."""
    events: list[Event] = []
    publish: Callable[[Event], None] = events.append
    policies = Policies(ResilienceSettings.model_validate(resilience or {}), publish=publish)
    chosen = McpSettings.model_validate(settings)
    async with MCPToolManager(
        Inventory(entries), connector, chosen, policies=policies, publish=publish, cache=cache
    ) as manager:
        yield Desk(manager, policies, events)
