"""A server for another module's use, see `core.tool_bench`: its session is watched and restarted as any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from core.errors import ConfigInvalid
from core.tool_bench import LentAnswer, LentServer
from nodes.mcp_tools.models import CallResult, Limits, ToolInfo
from nodes.mcp_tools.ports import Observer, ToolConnector
from nodes.mcp_tools.provider import LazyConnector
from nodes.mcp_tools.server import ToolServer
from nodes.mcp_tools.settings import McpSettings, ServerEntry

_STARTS = ("{", "[")


def lend(name: str, entry: Mapping[str, Any], *, home: Path) -> LentServer:
    """The server of an entry; it starts when it is first used.

    Raises:
        ConfigInvalid: The entry fits no transport.
    """
    try:
        checked = ServerEntry.model_validate(entry)
    except ValidationError as error:
        said = "; ".join(str(problem["msg"]) for problem in error.errors())
        raise ConfigInvalid(f"the source '{name}' is no MCP server: {said}") from error
    return JsonToolServer(name, checked, LazyConnector(home))


class JsonToolServer:
    """A `ToolServer` whose answers come as JSON."""

    def __init__(self, name: str, entry: ServerEntry, connector: ToolConnector) -> None:
        usual = McpSettings()
        start_s = entry.init_timeout_s or usual.start_timeout_s
        limits = Limits(
            start_s=start_s,
            call_s=entry.timeout_s or _CALL_S,
            result_bytes=entry.max_result_bytes or usual.max_result_bytes,
            first_s=entry.init_timeout_s or usual.first_start_s,
        )
        self._server = ToolServer(name, entry, connector, limits, Observer(_nothing, _no_word, _no_tools))

    async def tools(self) -> Mapping[str, Mapping[str, Any]]:
        await self._server.ready()
        return {tool.name: tool.parameters for tool in self._server.tools}

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> LentAnswer:
        return _answer(await self._server.call(tool, arguments))

    async def aclose(self) -> None:
        await self._server.aclose()


_CALL_S = 30.0


def _answer(found: CallResult) -> LentAnswer:
    text = "\n".join(part.text for part in found.content if part.text)
    value = found.structured
    # An SDK wraps what a tool returns as text under this one key.
    if isinstance(value, Mapping) and set(value) == {"result"}:
        value = value["result"]
    if not isinstance(value, Mapping):
        value = _json(text)
    return LentAnswer(text, value, found.is_error)


def _json(text: str) -> Any:
    if not text.lstrip().startswith(_STARTS):
        return None
    try:
        return orjson.loads(text.encode("utf-8", "replace"))
    except ValueError:
        return None


def _nothing() -> None:
    """Nobody has to be told: whoever uses the server asks it."""


def _no_word(_: str) -> None:
    _nothing()


def _no_tools(_: Sequence[ToolInfo]) -> None:
    _nothing()
