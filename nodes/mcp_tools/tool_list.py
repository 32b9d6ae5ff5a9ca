"""A server's list of tools: read page by page, judged tool by tool, and remembered."""

from __future__ import annotations

import contextvars
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson
from pydantic import SecretStr

from core.cache import Cache
from core.foreign import clean_text, fault_in
from nodes.mcp_tools.background import BackgroundTasks
from nodes.mcp_tools.errors import AnswerUnreadable, ToolRefused
from nodes.mcp_tools.models import ToolInfo, ToolList
from nodes.mcp_tools.settings import ServerEntry

MOST_TOOLS = 1000
_NAME_CHARS = 256
_DESCRIPTION_CHARS = 8192
_SCHEMA_WEIGHT = 65_536
_SCHEMA_DEPTH = 32
_NAMED = 20  # left-out tools that are named one by one
_TASKS = ("forbidden", "optional")
_HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
Page = Callable[[str | None], Awaitable[Any]]
"""Asks for the page that a cursor names; the first for None."""
_MAX_PAGES = 100
_METHOD_NOT_FOUND = -32601
# What decides which server it is, and as whom we come.
_IDENTITY = {
    *("command", "args", "cwd", "env", "url", "transport"),
    *("headers", "auth_type", "auth_token", "auth_header"),
}


class _Odd(Exception):
    """Why a tool cannot be offered: its field, and what is wrong with it."""


def tool_list(entries: Iterable[object], notes: Iterable[str] = ()) -> ToolList:
    """The list of a server; `notes` are what else is wrong with it."""
    found: dict[str, ToolInfo] = {}
    odd = list(notes)
    for place, entry in enumerate(entries, 1):
        if len(found) >= MOST_TOOLS:
            odd.append(f"tools after the first {MOST_TOOLS} are left out")
            break
        try:
            tool = _read(entry)
        except _Odd as why:
            odd.append(f"{_named(entry, place)} is left out: {why}")
            continue
        if tool.name in found:
            odd.append(f"another {_named(entry, place)} is left out: its name is the same")
            continue
        found[tool.name] = tool
    more = len(odd) - _NAMED
    return ToolList(tuple(found.values()), (*odd[:_NAMED], *([f"and {more} more"] if more > 0 else [])))


def _named(entry: object, place: int) -> str:
    name = entry.get("name") if isinstance(entry, Mapping) else None
    if isinstance(name, str) and name.strip():
        return f"tool '{clean_text(name[:80])}'"
    return f"tool number {place}"


def _read(entry: object) -> ToolInfo:
    if not isinstance(entry, Mapping):
        raise _Odd("it is no object")
    name = _name(entry.get("name"))
    _tasks(entry.get("execution"))
    hints = _hints(entry.get("annotations"))
    read_only = hints.get("readOnlyHint") is True
    repeatable = read_only or hints.get("idempotentHint") is True
    return ToolInfo(name, _description(entry.get("description")), _schema(entry), repeatable, read_only)


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise _Odd("name is no text" if name is not None else "name is missing")
    if not name.strip() or len(name) > _NAME_CHARS:
        raise _Odd(f"name must have 1 to {_NAME_CHARS} characters")
    if clean_text(name) != name or not name.isprintable():
        raise _Odd("name has characters that cannot be printed")
    return name


def _description(text: object) -> str:
    if text is None:
        return ""
    if not isinstance(text, str):
        raise _Odd("description is no text")
    shown = clean_text(text.strip())
    return shown if len(shown) <= _DESCRIPTION_CHARS else shown[: _DESCRIPTION_CHARS - 1] + "…"


def _tasks(execution: object) -> None:
    if execution is None:
        return
    if not isinstance(execution, Mapping):
        raise _Odd("execution is no object")
    support = execution.get("taskSupport")
    if support == "required":
        raise _Odd(
            "execution.taskSupport is 'required': it can only be called as an MCP task, which is not done"
        )
    if support is not None and support not in _TASKS:
        raise _Odd(f"execution.taskSupport is {_short(support)}, which is not known")


def _hints(annotations: object) -> Mapping[str, Any]:
    if annotations is None:
        return {}
    if not isinstance(annotations, Mapping):
        raise _Odd("annotations is no object")
    for hint in _HINTS:
        if not isinstance(annotations.get(hint), bool | None):
            raise _Odd(f"annotations.{hint} is {_short(annotations[hint])}, not true or false")
    return annotations


def _schema(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = entry.get("inputSchema")
    if not isinstance(schema, Mapping):
        raise _Odd("inputSchema is missing" if schema is None else "inputSchema is no object")
    fault = fault_in(schema, "inputSchema", depth=_SCHEMA_DEPTH, weight=_SCHEMA_WEIGHT)
    if fault:
        raise _Odd(fault)
    if schema.get("type", "object") != "object":
        raise _Odd(f"inputSchema.type is {_short(schema['type'])}, not 'object'")
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        raise _Odd("inputSchema.properties is no object")
    for name, part in properties.items():
        if not isinstance(part, Mapping | bool):
            raise _Odd(f"inputSchema.properties.{name[:80]} is no schema")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise _Odd("inputSchema.required is no list of names")
    return schema


def _short(value: object) -> str:
    if isinstance(value, str):
        return f"'{clean_text(value[:60])}'"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return (
        "a number" if isinstance(value, int | float) else "a list" if isinstance(value, list) else "an object"
    )


async def read_tools(page: Page) -> ToolList:
    """The tools of a server, to the end of its list or to where that goes wrong.

    Raises:
        ToolRefused: The server does not list its tools.
        ServerGone: The connection has ended.
    """
    entries: list[object] = []
    seen: set[str] = set()
    cursor: str | None = None
    try:
        for _ in range(_MAX_PAGES):
            found = await page(cursor)
            tools = found.get("tools") if isinstance(found, Mapping) else None
            if not isinstance(tools, list):
                return tool_list(entries, ["its list of tools has no list under 'tools'"])
            entries += tools
            cursor = found.get("nextCursor")
            if not cursor or len(entries) > MOST_TOOLS:
                return tool_list(entries)
            if not isinstance(cursor, str) or cursor in seen:
                fault = "there for a second time" if isinstance(cursor, str) else "no text"
                return tool_list(entries, [f"its list breaks off: nextCursor is {fault}"])
            seen.add(cursor)
    except (ToolRefused, AnswerUnreadable) as error:
        # A server may have other things than tools. What came before an error is offered.
        none = isinstance(error, ToolRefused) and error.rpc_code == _METHOD_NOT_FOUND
        if not seen and not none:
            raise
        return tool_list(entries, [] if none else [f"its list breaks off: {error.detail}"])
    return tool_list(entries, [f"its list breaks off: it has more than {_MAX_PAGES} pages"])


class ToolListCache:
    """The lists as they were last known, in the cache; the same for everyone: rights are applied after it.

    A server takes a second to start, and a turn that asks for tools in that second
    would wait for it. With a Redis, another process, or this one before its restart,
    has asked already; so that list is offered at once, and a call waits for the server.

    It never speaks for a server that is up: the list that a session gave takes the
    cached one's place. A cached list can be wrong for as long as its server starts;
    a call of a tool that is gone is refused, and the model reads so. Whoever finds that
    it has expired, or is another one, asks the server anew without waiting: so new
    tools are found of servers that do not tell of them. Close with `aclose`.

    Args:
        cache: None: every question goes to the server.
    """

    def __init__(self, cache: Cache | None) -> None:
        self._cache = cache
        self._writing = BackgroundTasks()

    async def get(
        self, name: str, entry: ServerEntry, load: Callable[[], Awaitable[list[ToolInfo]]]
    ) -> list[ToolInfo]:
        """The tools of a server: known ones, or those that `load` gives."""
        if self._cache is None:
            return await load()
        key = _cache_key(name, entry)
        return await self._cache.get("tools", key, load, who=None, as_type=list[ToolInfo])

    def put(self, name: str, entry: ServerEntry, tools: Sequence[ToolInfo]) -> None:
        """Put what the server itself says in the place of what is known; returns at once."""
        if self._cache is not None:
            key = _cache_key(name, entry)
            put = self._cache.put("tools", key, list(tools), who=None, as_type=list[ToolInfo])
            # A context of its own: what a server says belongs to no turn.
            self._writing.start(put, context=contextvars.Context())

    async def aclose(self) -> None:
        """Give up what is still being written."""
        await self._writing.aclose()


def _cache_key(name: str, entry: ServerEntry) -> list[str]:
    identity = entry.model_dump(include=_IDENTITY, exclude_defaults=True)
    text = orjson.dumps(identity, default=_plain, option=orjson.OPT_SORT_KEYS)
    return [name, hashlib.sha256(text).hexdigest()]


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
