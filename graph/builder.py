"""The graph: edges only, to read like the diagram."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from langgraph.graph import END, START, StateGraph

from core.context import RunContext
from graph.routing import AfterModel, after_tools
from graph.state import Input, State
from graph.traced import Traced
from graph.window import Window, Windowed


@dataclass(frozen=True, slots=True)
class Steps:
    """The nodes by name and the decision between them, ready to be wired.

    `extra` are steps of further modules: (name, node) behind one of the five.
    """

    nodes: Mapping[str, Any]
    after_model: AfterModel
    extra: Mapping[str, tuple[tuple[str, Any], ...]] = field(default_factory=dict)


def build_graph(steps: Steps, window: Window | None = None) -> StateGraph[Any, Any, Any, Any]:
    """The state graph, not yet compiled: the server gives it a checkpointer, Studio its own.

    Args:
        window: What the state keeps of a long thread; None keeps everything, as
            Studio needs it, which has no transcript.
    """
    graph = StateGraph(State, context_schema=RunContext, input_schema=Input)
    for name in ("lookup_config", "retrieve", "call_model", "execute_tools", "store_files"):
        _add(graph, name, steps.nodes[name], window if name == "call_model" else None)

    graph.add_edge(START, "lookup_config")
    graph.add_edge(_behind(graph, "lookup_config", steps), "retrieve")
    graph.add_edge(_behind(graph, "retrieve", steps), "call_model")
    graph.add_conditional_edges("call_model", steps.after_model, ["execute_tools", "store_files"])
    graph.add_conditional_edges("execute_tools", after_tools, ["call_model", "lookup_config"])
    graph.add_edge(_behind(graph, "store_files", steps), END)
    return graph


def _behind(graph: StateGraph[Any, Any, Any, Any], name: str, steps: Steps) -> str:
    """The last of what runs after step `name` before the next of the five."""
    for extra, node in steps.extra.get(name, ()):
        _add(graph, extra, node)
        graph.add_edge(name, extra)
        name = extra
    return name


def _add(graph: StateGraph[Any, Any, Any, Any], name: str, node: Any, window: Window | None = None) -> None:
    reads = get_type_hints(type(node).__call__)["state"]
    graph.add_node(name, Traced(name, Windowed(node, window) if window else node), input_schema=reads)
