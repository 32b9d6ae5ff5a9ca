"""The services of this module, for the container."""

# No `from __future__ import annotations`: dishka reads the annotations at run time.

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from dishka import Provider, Scope, provide

from core.settings import Book, Places
from nodes.mcp_tools.executor import ToolExecutor
from nodes.mcp_tools.links import NoFileLinks
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.plugins import Inventory, take_inventory
from nodes.mcp_tools.ports import FileLinks, Listener, ToolConnection, ToolConnector
from nodes.mcp_tools.settings import McpSettings, ServerEntry


class LateConnector:
    """Loads the SDK, a second of imports, in a thread when the first session opens, not at the start."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs

    @asynccontextmanager
    async def open(
        self, name: str, entry: ServerEntry, listener: Listener, *, max_result_bytes: int
    ) -> AsyncIterator[ToolConnection]:
        session = await asyncio.to_thread(importlib.import_module, "nodes.mcp_tools.adapters.session")
        connector: ToolConnector = session.SessionConnector(self._logs)
        async with connector.open(name, entry, listener, max_result_bytes=max_result_bytes) as connection:
            yield connection


class McpProvider(Provider):
    """Sessions with real servers. The composition root replaces `FileLinks` by the file storage's."""

    scope = Scope.APP

    @provide
    def inventory(self, book: Book) -> Inventory:
        return take_inventory(book)

    @provide
    def connector(self, places: Places) -> ToolConnector:
        return LateConnector(places.home / "logs")

    @provide
    async def manager(
        self, inventory: Inventory, connector: ToolConnector, book: Book
    ) -> AsyncIterator[MCPToolManager]:
        async with MCPToolManager(inventory, connector, book[McpSettings]) as manager:
            yield manager

    @provide
    def links(self) -> FileLinks:
        return NoFileLinks()

    @provide
    def executor(self, manager: MCPToolManager, links: FileLinks) -> ToolExecutor:
        return ToolExecutor(manager, links)
