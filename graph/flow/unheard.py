"""A step as LangGraph runs it, without what only listeners of LangChain need where there are none."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph._internal._runnable import RunnableSeq
from langgraph.graph.state import CompiledStateGraph


class Unheard(RunnableSeq):
    """A step and what writes its result, in the task that LangGraph has made for it.

    LangGraph tells callbacks of each step's beginning and end and makes it a task of its own, with a
    context for tracers. Where somebody listens (LangSmith, a caller's callbacks), it is as ever.
    """

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002 - LangChain's name
        if config is None or _heard(config.get("callbacks")):
            return await super().ainvoke(input, config, **kwargs)
        step, *writers = self.steps
        token = var_child_runnable_config.set(config)
        try:
            written = await step.ainvoke(input, config, **kwargs)
        finally:
            var_child_runnable_config.reset(token)
        for writer in writers:
            written = await writer.ainvoke(written, config)
        return written


def _heard(callbacks: Any) -> bool:
    if isinstance(callbacks, BaseCallbackManager):
        return bool(callbacks.handlers or callbacks.inheritable_handlers)
    return True


def run_lean(graph: CompiledStateGraph[Any, Any, Any, Any], names: Collection[str]) -> None:
    """Let these steps of the graph be run so."""
    for name in names:
        node = graph.nodes[name]
        if type(node.node) is RunnableSeq:
            # What LangGraph keeps there it makes again by itself for a copy of the graph.
            node.__dict__["node"] = Unheard(*node.node.steps, trace_policy=node.trace_policy)
