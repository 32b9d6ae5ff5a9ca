"""What stands in the graph for a step whose module does not run."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import ToolMessage
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from core.context import RunContext


class Search(TypedDict):
    config: dict[str, Any]


class Call(TypedDict):
    call: dict[str, Any]


class NoPassages:
    """Retrieval that finds nothing."""

    async def __call__(self, state: Search, runtime: Runtime[RunContext]) -> dict[str, Any]:
        return {"documents": []}


class NoTools:
    """Answers a call that an earlier turn left behind: the model itself is offered no tools."""

    async def __call__(self, state: Call, runtime: Runtime[RunContext]) -> dict[str, Any]:
        call = state["call"]
        text = "tools are switched off in this service"
        return {"messages": [ToolMessage(text, tool_call_id=call["id"], name=call["name"], status="error")]}


ABSENT: dict[str, type] = {"retrieve": NoPassages, "execute_tools": NoTools}
