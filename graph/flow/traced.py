"""A node with its span; the node itself knows nothing of tracing."""

from __future__ import annotations

from typing import Any

from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from core.context import RunContext
from core.observability import node_span


class Traced:
    """Runs `node` inside a span named after its step."""

    def __init__(self, name: str, node: Any) -> None:
        self._name = name
        self._node = node

    async def __call__(self, state: Any, runtime: Runtime[RunContext]) -> Any:
        with node_span(self._name, calm=(GraphBubbleUp,)):
            return await self._node(state, runtime)
