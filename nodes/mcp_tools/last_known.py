"""The tool lists of servers as they were last known, in the cache.

What it saves: a server takes a second to start, and a turn that asks for tools
in that second would wait for it. With a Redis, another process, or this one
before its restart, has asked already; in memory, a server that was switched off
and on. So the list is offered at once, and a call waits for the server.

What it may not do: speak for a server that is up. The list that a session gave
is the one that holds, and it takes the kept one's place. A kept list can thus be
wrong for as long as its server starts; a call of a tool that is gone is
refused, by us or by the server, and the model reads so.

Its age is what makes us look again at servers that do not tell of new tools:
whoever finds that the list has expired, or that another process keeps another
one, asks the server anew without waiting.

The list of a server is the same for everyone (`who=None`): rights are applied
to what is offered, after it.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
from collections.abc import Awaitable, Callable, Sequence

import orjson
from pydantic import SecretStr

from core.cache import Cache
from nodes.mcp_tools.models import ToolInfo
from nodes.mcp_tools.settings import ServerEntry

# What decides which server it is, and as whom we come.
_TELLING = {
    *("command", "args", "cwd", "env", "url", "transport"),
    *("headers", "auth_type", "auth_token", "auth_header"),
}


class LastKnown:
    """Reads and writes the lists. Without a cache every question goes to the server.

    Close with `aclose`.
    """

    def __init__(self, cache: Cache | None) -> None:
        self._cache = cache
        self._writing: set[asyncio.Task[None]] = set()

    async def get(
        self, name: str, entry: ServerEntry, load: Callable[[], Awaitable[list[ToolInfo]]]
    ) -> list[ToolInfo]:
        """The tools of a server: kept ones, or those that `load` gives."""
        if self._cache is None:
            return await load()
        return await self._cache.get("tools", _key(name, entry), load, who=None, as_type=list[ToolInfo])

    def keep(self, name: str, entry: ServerEntry, tools: Sequence[ToolInfo]) -> None:
        """Put the server's own word in the place of what is kept; returns at once."""
        if self._cache is not None:
            put = self._cache.put("tools", _key(name, entry), list(tools), who=None, as_type=list[ToolInfo])
            # A context of its own: a server's word belongs to no turn.
            task = asyncio.create_task(put, context=contextvars.Context())
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def aclose(self) -> None:
        """Give up what is still being written."""
        tasks = list(self._writing)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _key(name: str, entry: ServerEntry) -> list[str]:
    telling = entry.model_dump(include=_TELLING, exclude_defaults=True)
    text = orjson.dumps(telling, default=_plain, option=orjson.OPT_SORT_KEYS)
    return [name, hashlib.sha256(text).hexdigest()]


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
