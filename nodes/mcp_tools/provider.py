"""The services of this module, for the container."""

# No `from __future__ import annotations`: dishka reads the annotations at run time.

from collections.abc import AsyncIterator

from dishka import Provider, Scope, provide

from core.settings import Book, Places
from nodes.mcp_tools.executor import ToolExecutor
from nodes.mcp_tools.links import NoFileLinks
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.plugins import Inventory, take_inventory
from nodes.mcp_tools.ports import FileLinks, ToolConnector
from nodes.mcp_tools.settings import McpSettings


class McpProvider(Provider):
    """Sessions with real servers. The composition root replaces `FileLinks` by the file storage's."""

    scope = Scope.APP

    @provide
    def inventory(self, book: Book) -> Inventory:
        return take_inventory(book)

    @provide
    def connector(self, places: Places) -> ToolConnector:
        from nodes.mcp_tools.adapters.session import SessionConnector  # noqa: PLC0415  # a second of imports

        return SessionConnector(places.home / "logs")

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
