"""The graph's step `execute_tools`: one tool call per invocation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from langchain_core.messages import ToolMessage
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from core.access import RunContext, context_of
from core.correlation import current
from nodes.mcp_tools.calls import artifacts_of, call_event, progress_to, result_event, tool_message
from nodes.mcp_tools.executor import RecordedCalls, ToolExecutor, client_tools
from nodes.mcp_tools.interrupts import AskPerson, decide
from nodes.mcp_tools.models import ExecutionContext
from nodes.mcp_tools.ports import Receipts


class Reads(TypedDict, total=False):
    """What `Send("execute_tools", ...)` carries."""

    call: dict[str, Any]
    config: dict[str, Any]
    files: list[dict[str, Any]]


class Writes(TypedDict):
    messages: list[ToolMessage]
    artifacts: list[dict[str, Any]]


class ExecuteTools:
    """Ask where somebody must be asked, make the call once, write its message and its files."""

    def __init__(self, executor: ToolExecutor, receipts: Receipts) -> None:
        self._executor = executor
        self._calls = RecordedCalls(executor, receipts)

    async def __call__(self, state: Reads, runtime: Runtime[RunContext]) -> Writes:
        call, config = state["call"], state.get("config") or {}
        context = _context(state, runtime)
        target = await self._executor.find(str(call.get("name") or ""), context)
        mode = config.get("approval") or context_of(runtime).approval
        # Everything above runs again after an interrupt, so nothing is told before the decision.
        decision = decide(call, target, mode, lambda edited: self._executor.problem(edited, context, target))
        made, decided = decision.applied(call), decision.record(call, context.principal.id)
        write, arguments = runtime.stream_writer, made.get("args") or {}
        write(call_event(context.call_id, target.server, target.name, arguments, decided))
        if decision.approved:
            progress, ask = progress_to(write, context.call_id), AskPerson(made, target, mode)
            outcome = await self._calls.make(made, context, target, progress, ask, decision=decided)
        else:
            unmade = self._executor.respond if decision.kind == "respond" else self._executor.refuse
            outcome = replace(unmade(call, context, target, decision.text), decision=decided)
        if decided:
            self._executor.reviewed(target, decision.kind, call.get("args") or {}, arguments)
        write(result_event(outcome))
        message = tool_message(outcome, str(call.get("name") or ""))
        return {"messages": [message], "artifacts": artifacts_of(outcome)}


def _context(state: Reads, runtime: Runtime[RunContext]) -> ExecutionContext:
    config = state.get("config") or {}
    run = runtime.execution_info
    return ExecutionContext(
        principal=context_of(runtime).principal,
        thread_id=(run.thread_id if run else None) or "",
        run_id=(run.run_id if run else None) or current().run_id,
        call_id=str(state["call"].get("id") or ""),
        files={str(file["name"]): str(file["key"]) for file in state.get("files") or ()},
        servers=_names(config.get("servers")),
        tools=_names(config.get("tools")),
        client_tools=client_tools(config),
    )


def _names(found: list[str] | None) -> tuple[str, ...] | None:
    return None if found is None else tuple(found)
