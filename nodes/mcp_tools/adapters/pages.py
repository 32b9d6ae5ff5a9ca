"""A list that comes in pages, read to its end or to where it goes wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nodes.mcp_tools.errors import AnswerUnreadable, ToolRefused
from nodes.mcp_tools.listing import MOST_TOOLS, judged
from nodes.mcp_tools.models import ToolList

Page = Callable[[str | None], Awaitable[Any]]
"""Asks for the page that a cursor names; the first for None."""

_MAX_PAGES = 100
_METHOD_NOT_FOUND = -32601


async def listed(page: Page) -> ToolList:
    """The tools of a server.

    Raises:
        ToolRefused: The server does not list its tools.
        ServerGone: The connection has ended.
    """
    reader = _Reader()
    try:
        await reader.read(page)
    except (ToolRefused, AnswerUnreadable) as error:
        # A server may have other things than tools. What came before an error is offered.
        none = isinstance(error, ToolRefused) and error.rpc_code == _METHOD_NOT_FOUND
        if not reader.seen and not none:
            raise
        return judged(reader.entries, [] if none else [f"its list breaks off: {error.detail}"])
    return judged(reader.entries, [reader.problem] if reader.problem else [])


class _Reader:
    """Collects the entries of all pages, and what is wrong with the list."""

    def __init__(self) -> None:
        self.entries: list[object] = []
        self.seen: set[str] = set()
        self.problem = ""

    async def read(self, page: Page) -> None:
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            cursor = self._take(await page(cursor))
            if cursor is None:
                return
        self.problem = f"its list breaks off: it has more than {_MAX_PAGES} pages"

    def _take(self, found: object) -> str | None:
        """Keep a page; the cursor of the next, where one is wanted."""
        tools = found.get("tools") if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping) or not isinstance(tools, list):
            self.problem = "its list of tools has no list under 'tools'"
            return None
        self.entries += tools
        following = found.get("nextCursor")
        if not following or len(self.entries) > MOST_TOOLS:
            return None
        if not isinstance(following, str) or following in self.seen:
            self.problem = "its list breaks off: nextCursor is " + (
                "there for a second time" if isinstance(following, str) else "no text"
            )
            return None
        self.seen.add(following)
        return following
