"""One node of the graph, alone, on a state that a thread was in: for notebooks and debuggers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Interrupt, Send

from core.access import RunContext
from core.errors import InvalidInput
from graph.agent import Agent
from graph.flow.nodes import AnyNode
from graph.flow.state import Input
from graph.flow.steps import Steps
from graph.runs.events import renewed_question


@dataclass(frozen=True, slots=True)
class NodeRun:
    """What a node did: what it would write into the state, what it told, and whom it waits for."""

    writes: dict[str, Any]
    events: list[dict[str, Any]]
    interrupts: list[dict[str, Any]]


async def run_node(
    source: Agent | Steps,
    name: str,
    state: Mapping[str, Any],
    context: RunContext | None = None,
    *,
    thread: str = "alone",
) -> NodeRun:
    """Run the node `name` on `state`, exactly as given. Nothing of it reaches a thread.

    The node itself is the real one: a tool is called and a file is stored. What
    lives only within a turn (`config`, `documents`) is in no saved state: add it
    from the nodes that make it. `execute_tools` reads one `call` from its state.

    Args:
        context: What a caller would choose; the defaults of a run when left out.
        thread: The thread that the node believes to be on.

    Raises:
        InvalidInput: There is no such node.
        WaystationError: The node failed.
    """
    steps = source if isinstance(source, Steps) else await source.container.get(Steps)
    graph = StateGraph(steps.state, context_schema=RunContext, input_schema=Input)
    graph.add_node(name, AnyNode(_find(steps, name)), input_schema=steps.state)
    # `Send` hands the state over as it is: no reducer, and no channel that fills in what is missing.
    graph.add_conditional_edges(START, lambda _: [Send(name, dict(state))], [name])
    graph.add_edge(name, END)
    compiled = graph.compile(checkpointer=InMemorySaver(), name=name)
    config: Any = {"configurable": {"thread_id": thread}}
    writes: dict[str, Any] = {}
    events: list[dict[str, Any]] = []
    interrupts: list[dict[str, Any]] = []
    stream: AsyncIterator[Any] = compiled.astream(
        {"messages": []}, config, context=context or RunContext(), stream_mode=["custom", "updates"]
    )
    async for mode, data in stream:
        if mode == "custom":
            events.append(data)
            continue
        interrupts += questions(data.get("__interrupt__", ()))
        writes.update(data.get(name) or {})
    return NodeRun(writes, events, interrupts)


def questions(interrupts: Iterable[Interrupt]) -> list[dict[str, Any]]:
    """What a node waits for, as its event tells it; a value that is no object stands under `value`."""
    return [
        renewed_question(
            {
                "id": waiting.id,
                **(waiting.value if isinstance(waiting.value, Mapping) else {"value": waiting.value}),
            }
        )
        for waiting in interrupts
    ]


def _find(steps: Steps, name: str) -> Any:
    if name not in steps.by_name:
        raise InvalidInput(f"there is no node '{name}'; nodes: {', '.join(steps.by_name)}")
    return steps.by_name[name].node
