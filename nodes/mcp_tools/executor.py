"""Execute one tool call of a model, on somebody's behalf; a failure is an outcome, not an exception."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.access import may_use
from core.errors import WaystationError
from core.observability import track_duration
from nodes.mcp_tools.arguments import cleaned, foreign_address, problem_with, with_links, with_user
from nodes.mcp_tools.errors import CallTimedOut, ServerGone, UnknownTool
from nodes.mcp_tools.manager import Listed, MCPToolManager
from nodes.mcp_tools.models import ExecutionContext, Progress, Status, ToolInfo, ToolOutcome
from nodes.mcp_tools.ports import FileLinks
from nodes.mcp_tools.results import Reading, read_result


@dataclass(frozen=True, slots=True)
class Target:
    """The tool behind a function name. `tool` is None where nothing the caller may use has the name."""

    server: str
    name: str
    tool: ToolInfo | None
    approval: bool = False


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A call that is being made."""

    call_id: str
    target: Target
    arguments: Mapping[str, Any]
    started: float = field(default_factory=time.perf_counter)

    def ended(self, status: Status, text: str, reading: Reading | None = None) -> ToolOutcome:
        return ToolOutcome(
            call_id=self.call_id,
            server=self.target.server,
            tool=self.target.name,
            arguments=self.arguments,
            status=status,
            text=text,
            duration_ms=round((time.perf_counter() - self.started) * 1000),
            artifacts=reading.artifacts if reading else (),
            display=reading.display if reading else None,
        )


class ToolExecutor:
    """Finds the tool behind a function name, checks the call, makes it and reads the answer.

    Args:
        links: Makes addresses for the thread's files.
    """

    def __init__(self, manager: MCPToolManager, links: FileLinks) -> None:
        self._manager = manager
        self._links = links

    async def find(self, name: str, context: ExecutionContext) -> Target:
        """Which tool `name` means among those that this turn and its user may use."""
        for listed in await self._known(context):
            if listed.full == name:
                approval = self._manager.entries()[listed.server].needs_approval(listed.tool.name)
                return Target(listed.server, listed.tool.name, listed.tool, approval)
        return Target("", name, None)

    async def execute(
        self,
        call: Mapping[str, Any],
        context: ExecutionContext,
        *,
        progress: Progress | None = None,
    ) -> ToolOutcome:
        """Make the call `{"id", "name", "args"}`; rights are checked here again."""
        target = await self.find(str(call.get("name") or ""), context)
        attempt = _Attempt(str(call.get("id") or context.call_id), target, _arguments(call))
        try:
            with track_duration("tool_call"):
                return await self._run(attempt, context, progress)
        except CallTimedOut as error:
            return attempt.ended("timeout", error.detail)
        except ServerGone as error:
            if not error.sent:
                return attempt.ended("error", error.detail)
            return attempt.ended("unknown", f"{error.detail}; whether the tool did its work is unknown")
        except WaystationError as error:
            return attempt.ended("error", error.detail)

    async def _run(
        self, attempt: _Attempt, context: ExecutionContext, progress: Progress | None
    ) -> ToolOutcome:
        target = attempt.target
        if target.tool is None:
            known = ", ".join([listed.full for listed in await self._known(context)]) or "none"
            raise UnknownTool(f"there is no tool '{target.name[:100]}'; tools: {known}")
        schema = target.tool.parameters
        given = with_user(cleaned(attempt.arguments), schema, context.principal.id)
        problem = problem_with(given, schema)
        if problem:
            return attempt.ended("error", f"not called: {problem}")
        address = foreign_address(given)
        if address:
            names = ", ".join(context.files) or "none"
            return attempt.ended(
                "error", f"not called: '{address}' is no file of this thread; files: {names}"
            )
        given = await with_links(given, context, self._links)
        answer = await self._manager.call(target.server, target.name, given, progress=progress)
        limit = self._manager.limits(target.server).result_bytes
        reading = read_result(answer, call_id=attempt.call_id, tool=target.name, max_bytes=limit)
        return attempt.ended("error" if answer.is_error else "ok", reading.text, reading)

    async def _known(self, context: ExecutionContext) -> list[Listed]:
        """Also tools of a server that is restarting: the call waits for it and says how it went."""
        entries = self._manager.entries()
        await self._manager.ready(context.principal, context.servers)
        names = [
            name
            for name, entry in entries.items()
            if may_use(context.principal, entry) and (context.servers is None or name in context.servers)
        ]
        wanted = None if context.tools is None else frozenset(context.tools)
        return [found for found in self._manager.known(names) if wanted is None or found.full in wanted]


def _arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    found = call.get("args")
    return dict(found) if isinstance(found, Mapping) else {}
