"""Execute one tool call of a model, on somebody's behalf; a failure is an outcome, not an exception."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakValueDictionary

from langgraph.errors import GraphInterrupt

from core.access import may_use
from core.errors import TimedOut, WaystationError
from core.events import Event
from core.forms import client_tools_in
from core.observability import tool_span, track_duration
from nodes.mcp_tools.calls import (
    UNKNOWN,
    cleaned,
    foreign_address,
    problem_with,
    properties_of,
    same_json,
    with_links,
    with_user,
)
from nodes.mcp_tools.errors import AnswerUnreadable, ResultTooLarge, ServerGone
from nodes.mcp_tools.events import ToolExecuted, ToolReviewed
from nodes.mcp_tools.manager import Listed, MCPToolManager
from nodes.mcp_tools.models import Ask, ExecutionContext, Progress, Status, ToolInfo, ToolOutcome
from nodes.mcp_tools.ports import FileLinks, NoOwnTools, OwnTools, Receipts
from nodes.mcp_tools.results import ReadResult, read_result
from nodes.mcp_tools.settings import FILLED_IN

OWN = "waystation"
OWN_BYTES = 262_144
_UNSURE = "whether the tool did its work is unknown, so do not repeat the call unless that does no harm"


@dataclass(frozen=True, slots=True)
class Target:
    """The tool behind a function name. `tool` is None where nothing the caller may use has the name.

    Args:
        approval: The operator wants a person asked.
        firm: No caller can lower that.
        hidden: Parameters that the service fills in.
        own: It is the service's own, and no server's.
        client: The caller runs it, and answers with its result.
    """

    server: str
    name: str
    tool: ToolInfo | None
    approval: bool = False
    firm: bool = True
    hidden: tuple[str, ...] = FILLED_IN
    own: bool = False
    client: bool = False


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A call that is being made."""

    call_id: str
    target: Target
    arguments: Mapping[str, Any]
    started: float = field(default_factory=time.perf_counter)

    def ended(self, status: Status, text: str, reading: ReadResult | None = None) -> ToolOutcome:
        return ToolOutcome(
            call_id=self.call_id,
            server=self.target.server,
            tool=self.target.name,
            arguments=self.arguments,
            status=status,
            text=text,
            duration_ms=self.duration_ms(),
            artifacts=reading.artifacts if reading else (),
            display=reading.display if reading else None,
        )

    def duration_ms(self) -> int:
        return round((time.perf_counter() - self.started) * 1000)


class ToolExecutor:
    """Finds the tool behind a function name, checks the call, makes it and reads the answer.

    Args:
        links: Makes addresses for the thread's files.
        publish: Told of every call, also of those that were not made.
        own: Tools of the service itself, for threads with files.
    """

    def __init__(
        self,
        manager: MCPToolManager,
        links: FileLinks,
        *,
        publish: Callable[[Event], None] = lambda _: None,
        own: OwnTools | None = None,
    ) -> None:
        self._manager = manager
        self._links = links
        self._publish = publish
        self._own = own or NoOwnTools()

    async def find(self, name: str, context: ExecutionContext) -> Target:
        """Which tool `name` means among those that this turn and its user may use."""
        if theirs := context.client_tools.get(name):
            return Target("", name, theirs, approval=True, hidden=(), client=True)
        found = self._named(name, context)
        if found is None and (own := self._own_tool(name, context)):
            return Target(OWN, name, own, firm=False, hidden=(), own=True)
        if found is None:
            # Only now: a server that takes long to start holds up nobody who does not need it.
            await self._manager.ready(context.principal, context.servers)
            found = self._named(name, context)
        if found is None:
            return Target("", name, None)
        entry = self._manager.entries()[found.server]
        approval = entry.needs_approval(found.tool.name)
        firm = not self._manager.callers_may_lower_approval
        return Target(found.server, found.tool.name, found.tool, approval, firm, entry.filled_in)

    def may_run_beside(self, target: Target) -> bool:
        """Whether a call may run beside others that the same answer makes to its server."""
        entry = self._manager.entries().get(target.server)
        if entry is None or target.tool is None:
            return True
        return target.tool.read_only if entry.parallel_calls is None else entry.parallel_calls

    async def execute(
        self,
        call: Mapping[str, Any],
        context: ExecutionContext,
        *,
        progress: Progress | None = None,
        ask: Ask | None = None,
    ) -> ToolOutcome:
        """Make the call `{"id", "name", "args"}`; rights are checked here again.

        Args:
            ask: As of `MCPToolManager.call`. What it raises comes out of here.
        """
        target = await self.find(str(call.get("name") or ""), context)
        attempt = _Attempt(str(call.get("id") or context.call_id), target, _arguments(call))
        status = "error"
        try:
            outcome = await self._outcome(attempt, context, progress, ask)
            status = outcome.status
        except GraphInterrupt:
            status = "asked"
            raise
        except asyncio.CancelledError:
            status = "cancelled"
            raise
        finally:
            self._tell(attempt, status)
        return outcome

    def refuse(
        self, call: Mapping[str, Any], context: ExecutionContext, target: Target, why: str
    ) -> ToolOutcome:
        """The outcome of a call that a person, or the run for them, did not allow."""
        attempt = _Attempt(context.call_id, target, _arguments(call))
        self._tell(attempt, "denied")
        return attempt.ended("denied", f"denied: {why}" if why else "denied by the user")

    def respond(
        self, call: Mapping[str, Any], context: ExecutionContext, target: Target, text: str
    ) -> ToolOutcome:
        """The outcome of a call that a person answered in the tool's place."""
        attempt = _Attempt(context.call_id, target, _arguments(call))
        self._tell(attempt, "answered")
        return attempt.ended("answered", text)

    def problem(self, arguments: Mapping[str, Any], context: ExecutionContext, target: Target) -> str:
        """Why the tool cannot be called with these arguments; empty when it can."""
        return self._judged(arguments, target, target.tool, context)[1] if target.tool else ""

    def reviewed(
        self, target: Target, decision: str, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        """Tell that a person decided on a call, and which parameters they changed."""
        known = properties_of(target.tool.parameters) if target.tool else {}
        changed = tuple(str(name) for name in known if not same_json(before.get(name), after.get(name)))
        review = ToolReviewed(server=target.server, tool=target.name, decision=decision, changed=changed)
        self._publish(review)

    def unknown(self, call: Mapping[str, Any], context: ExecutionContext, target: Target) -> ToolOutcome:
        """The outcome of a call that an earlier attempt began, and of which nobody knows the end."""
        return _Attempt(context.call_id, target, _arguments(call)).ended("unknown", UNKNOWN)

    def _tell(self, attempt: _Attempt, status: str) -> None:
        target = attempt.target
        # A name that the model made up is content, and no event has any.
        tool = target.name if target.tool else ""
        duration_ms = attempt.duration_ms()
        self._publish(ToolExecuted(server=target.server, tool=tool, status=status, duration_ms=duration_ms))

    async def _outcome(
        self, attempt: _Attempt, context: ExecutionContext, progress: Progress | None, ask: Ask | None
    ) -> ToolOutcome:
        target = attempt.target
        if target.tool is None:
            known = ", ".join([listed.full for listed in self._known(context)]) or "none"
            return attempt.ended("error", f"there is no tool '{target.name[:100]}'; tools: {known}")
        question: GraphInterrupt | None = None
        try:
            with (
                tool_span(target.name, server=target.server, call_id=attempt.call_id) as span,
                track_duration("tool_call"),
            ):
                try:
                    outcome = await self._made(attempt, target.tool, context, progress, ask)
                except GraphInterrupt as asked:
                    question = asked  # for a person: no error of the tool, so none in its span
                else:
                    if outcome.status == "error":
                        span.error("tool_error")
                    return outcome
        except WaystationError as error:
            return attempt.ended(*_failure(error))
        raise question

    async def _made(
        self,
        attempt: _Attempt,
        tool: ToolInfo,
        context: ExecutionContext,
        progress: Progress | None,
        ask: Ask | None,
    ) -> ToolOutcome:
        server, name = attempt.target.server, attempt.target.name
        given, problem = self._judged(attempt.arguments, attempt.target, tool, context)
        if attempt.target.client:  # any other call of it has paused for its result
            problem = problem or "its arguments are no JSON object"
        if problem:
            return attempt.ended("error", f"not called: {problem}")
        if attempt.target.own:
            answer, limit = await self._own.call(name, given, context), OWN_BYTES
        else:
            given = await with_links(given, context, self._links)
            answer = await self._manager.call(server, name, given, progress=progress, ask=ask)
            limit = self._manager.limits(server).result_bytes
        reading = read_result(answer, call_id=attempt.call_id, tool=name, max_bytes=limit)
        return attempt.ended("error" if answer.is_error else "ok", reading.text, reading)

    def _judged(
        self, arguments: Mapping[str, Any], target: Target, tool: ToolInfo, context: ExecutionContext
    ) -> tuple[dict[str, Any], str]:
        """What the server would get, without links yet, and why it cannot; empty where it can."""
        hidden = target.hidden
        given = with_user(cleaned(arguments), tool.parameters, context.principal.id, hidden=hidden)
        if problem := problem_with(given, tool.parameters, hidden=hidden):
            return given, problem
        if address := foreign_address(given):
            names = ", ".join(context.files) or "none"
            return given, f"'{address}' is no file of this thread; files: {names}"
        return given, ""

    def _own_tool(self, name: str, context: ExecutionContext) -> ToolInfo | None:
        return self._own.find(name) if context.files and context.tools is None else None

    def _named(self, name: str, context: ExecutionContext) -> Listed | None:
        return next((listed for listed in self._known(context) if listed.full == name), None)

    def _known(self, context: ExecutionContext) -> Iterator[Listed]:
        """Also tools of a server that is not up: the call waits for it, or says why it cannot be made."""
        names = (
            name
            for name, entry in self._manager.entries().items()
            if (context.servers is None or name in context.servers) and may_use(context.principal, entry)
        )
        wanted = None if context.tools is None else frozenset(context.tools)
        return (found for found in self._manager.known(names) if wanted is None or found.full in wanted)


class RecordedCalls:
    """Notes each call before it is made and keeps its outcome after it.

    Calls of one answer that may change something at one server are made one behind another, in the model's
    order: servers read, change and write without a thought of the next call, and keep one change of two.
    """

    def __init__(self, executor: ToolExecutor, receipts: Receipts) -> None:
        self._executor = executor
        self._receipts = receipts
        self._lines: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def _line(self, context: ExecutionContext, target: Target) -> AbstractAsyncContextManager[Any]:
        if self._executor.may_run_beside(target):
            return nullcontext()
        run = context.run_id or context.thread_id
        return self._lines.setdefault((run, target.server), asyncio.Lock())

    async def make(
        self,
        call: Mapping[str, Any],
        context: ExecutionContext,
        target: Target,
        progress: Progress,
        ask: Ask | None = None,
        *,
        decision: Mapping[str, Any] | None = None,
    ) -> ToolOutcome:
        """The outcome of the call, of an earlier attempt where that one had made it.

        A call that an earlier attempt began and did not finish is made again
        only where its tool is repeatable; any other ends as unknown. One that ends
        with a question for a person is forgotten: with the answer it is made again.

        Args:
            decision: What a person decided of it; kept with the outcome.
        """
        async with self._line(context, target):
            receipt = await self._receipts.begin(context)
            if receipt.outcome:
                return receipt.outcome
            if receipt.begun and not (target.tool and target.tool.repeatable):
                return replace(self._executor.unknown(call, context, target), decision=decision)
            try:
                outcome = await self._executor.execute(call, context, progress=progress, ask=ask)
            except GraphInterrupt:
                await self._receipts.forget(context)
                raise
            outcome = replace(outcome, decision=decision)
            await self._receipts.end(context, outcome)
            return outcome


def _failure(error: WaystationError) -> tuple[Status, str]:
    """How a call ended that has no answer to read: what may have been done is never told as not done."""
    if isinstance(error, TimedOut):
        return "timeout", error.detail
    if isinstance(error, ResultTooLarge):
        return "unknown", f"the tool has answered, so it may have done its work, but {error.detail}"
    if isinstance(error, AnswerUnreadable) or (isinstance(error, ServerGone) and error.sent):
        return "unknown", f"{error.detail}; {_UNSURE}"
    return "error", error.detail


def _arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    found = call.get("args")
    return dict(found) if isinstance(found, Mapping) else {}


def client_tools(config: Mapping[str, Any]) -> dict[str, ToolInfo]:
    """The tools of a turn that its caller runs, by their names."""
    if not config.get("client_tools"):
        return {}
    functions = [tool["function"] for tool in client_tools_in(config)]
    return {
        each["name"]: ToolInfo(each["name"], each["description"], each["parameters"]) for each in functions
    }
