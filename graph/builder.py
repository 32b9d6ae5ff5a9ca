"""The graph: edges only, to read like the diagram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langgraph.graph import END, START, StateGraph

from core.context import RunContext
from graph.routing import AfterModel, after_tools
from graph.state import Input, State
from nodes.config.node import LookupConfig
from nodes.file_storage.node import StoreFiles
from nodes.llm.node import CallModel
from nodes.mcp_tools.node import ExecuteTools
from nodes.rag.node import Retrieve


@dataclass(frozen=True, slots=True)
class Steps:
    """The five nodes and the decision between them, ready to be wired."""

    lookup_config: LookupConfig
    retrieve: Retrieve
    call_model: CallModel
    execute_tools: ExecuteTools
    store_files: StoreFiles
    after_model: AfterModel


def build_graph(steps: Steps) -> StateGraph[Any, Any, Any, Any]:
    """The state graph, not yet compiled: the server gives it a checkpointer, Studio its own."""
    graph = StateGraph(State, context_schema=RunContext, input_schema=Input)
    graph.add_node("lookup_config", steps.lookup_config)
    graph.add_node("retrieve", steps.retrieve)
    graph.add_node("call_model", steps.call_model)
    graph.add_node("execute_tools", steps.execute_tools)
    graph.add_node("store_files", steps.store_files)

    graph.add_edge(START, "lookup_config")
    graph.add_edge("lookup_config", "retrieve")
    graph.add_edge("retrieve", "call_model")
    graph.add_conditional_edges("call_model", steps.after_model, ["execute_tools", "store_files"])
    graph.add_conditional_edges("execute_tools", after_tools, ["call_model", "lookup_config"])
    graph.add_edge("store_files", END)
    return graph
