"""The services of this module, for the container."""

# No `from __future__ import annotations`: dishka reads the annotations at run time.

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from dishka import Provider, Scope, provide

from core.cache import Cache
from core.events import EventBus
from core.observability import never_log
from core.resilience import Policies
from core.settings import Book, Places
from core.settings.book import Editions
from nodes.mcp_tools.calls import NoReceipts
from nodes.mcp_tools.dialects import Remark
from nodes.mcp_tools.executor import ToolExecutor
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.node import ExecuteTools
from nodes.mcp_tools.plugins import Inventory, take_inventory
from nodes.mcp_tools.ports import (
    FileLinks,
    Listener,
    NoFileLinks,
    NoOwnTools,
    OwnTools,
    Receipts,
    ToolConnection,
    ToolConnector,
)
from nodes.mcp_tools.settings import McpSettings, ServerEntry

log = structlog.get_logger(__name__)


class LazyConnector:
    """Loads the SDK, a second of imports, in a thread when the first session opens, not at the start.

    Args:
        home: Its folders `logs` and `state` are used.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._made: ToolConnector | None = None

    @asynccontextmanager
    async def open(
        self, name: str, entry: ServerEntry, listener: Listener, *, max_result_bytes: int
    ) -> AsyncIterator[ToolConnection]:
        connector = await self._connector()
        async with connector.open(name, entry, listener, max_result_bytes=max_result_bytes) as connection:
            yield connection

    async def _connector(self) -> ToolConnector:
        session = await asyncio.to_thread(importlib.import_module, "nodes.mcp_tools.adapters.session")
        if self._made is None:  # made once: its sessions share what serves the bundled servers
            self._made = session.connector(self._home)
        return self._made


async def _inventory(book: Book, _: Inventory | None) -> Inventory:
    # Reads the folders of plugins: off the loop, where turns are running.
    inventory = await asyncio.to_thread(take_inventory, book)
    for name, remark in _mistakes(inventory):
        log.warning("tool_server_key_passed_over", server=name, key=remark.key, why=remark.message)
    for name, reason in inventory.unusable.items():
        log.warning("tool_server_left_out", server=name, why=reason)
    for plugin in inventory.plugins:
        if plugin.waiting:
            log.warning("plugin_waits", plugin=plugin.name, why=plugin.problem)
    for entry in inventory.servers.values():
        for secret in entry.secrets():
            never_log(secret)
    return inventory


def _mistakes(inventory: Inventory) -> Iterator[tuple[str, Remark]]:
    """Remarks about what somebody may have meant otherwise."""
    for name, remarks in inventory.remarks.items():
        for remark in remarks:
            if remark.mistake:
                yield name, remark


class McpProvider(Provider):
    """Sessions with real servers. The composition root replaces `FileLinks`, `Receipts` and `OwnTools`."""

    scope = Scope.APP

    @provide
    def connector(self, places: Places) -> ToolConnector:
        return LazyConnector(places.home)

    @provide
    async def manager(  # noqa: PLR0917 - dishka gives them by type
        self,
        editions: Editions,
        connector: ToolConnector,
        book: Book,
        policies: Policies,
        bus: EventBus,
        cache: Cache,
    ) -> AsyncIterator[MCPToolManager]:
        async with (
            editions.part("servers", _inventory) as inventory,
            MCPToolManager(
                inventory,
                connector,
                book[McpSettings],
                policies=policies,
                publish=bus.publish,
                cache=cache,
            ) as manager,
        ):
            yield manager

    @provide
    def links(self) -> FileLinks:
        return NoFileLinks()

    @provide
    def receipts(self) -> Receipts:
        return NoReceipts()

    @provide
    def own(self) -> OwnTools:
        return NoOwnTools()

    @provide
    def executor(
        self, manager: MCPToolManager, links: FileLinks, bus: EventBus, own: OwnTools
    ) -> ToolExecutor:
        return ToolExecutor(manager, links, publish=bus.publish, own=own)

    node = provide(ExecuteTools)
