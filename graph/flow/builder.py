"""The graph: edges only, to read like the diagram."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from core.context import RunContext
from graph.flow.needs import TURN_ONLY, Asked, Lookup, Supplied, SuppliedCall
from graph.flow.routing import AfterModel, after_files
from graph.flow.state import Input, State, checked_input
from graph.flow.swapping import reader
from graph.flow.traced import Traced
from graph.flow.window import Window, Windowed
from graph.flow.written import Written

FIVE = ("lookup_config", "retrieve", "call_model", "execute_tools", "store_files")
"""The steps of every turn."""
_LOOKS = {"lookup_config": "config", "retrieve": "documents"}


@dataclass(frozen=True, slots=True)
class Steps:
    """The nodes by name and the decision between them, ready to be wired.

    `extra` are steps of further modules: (name, node) behind any other step.
    """

    nodes: Mapping[str, Any]
    after_model: AfterModel
    extra: Mapping[str, tuple[tuple[str, Any], ...]] = field(default_factory=dict)

    def behind(self, name: str) -> Iterator[tuple[str, Any]]:
        """The further steps between `name` and the next of the five, in their order."""
        for extra, node in self.extra.get(name, ()):
            yield extra, node
            yield from self.behind(extra)


def build_graph(steps: Steps, window: Window | None = None) -> StateGraph[Any, Any, Any, Any]:
    """The state graph, not yet compiled: the server gives it a checkpointer, Studio its own.

    Args:
        window: What the state keeps of a long thread; None keeps everything, as
            Studio needs it, which has no transcript.
    """
    graph = _Gated(State, context_schema=RunContext, input_schema=Input)
    last = _Wiring(graph, steps, window).wired()
    graph.add_edge(START, "lookup_config")
    graph.add_edge(last["lookup_config"], "retrieve")
    graph.add_edge(last["retrieve"], "call_model")
    ways = ["execute_tools", "store_files", "lookup_config"]
    graph.add_conditional_edges(last["call_model"], steps.after_model, ways)
    # Always to the model: calls of one answer may end in different attempts, and have to agree on the way.
    graph.add_edge(last["execute_tools"], "call_model")
    graph.add_conditional_edges(last["store_files"], after_files, [END, "lookup_config"])
    return graph


def last_step(graph: CompiledStateGraph[Any, Any, Any, Any]) -> str:
    """The step behind which a turn is over: what is written in its place leaves nothing open."""
    ways = {(start, end) for start, end in graph.builder.edges if end == END}
    for start, branches in graph.builder.branches.items():
        ways |= {(start, end) for way in branches.values() for end in (way.ends or {}).values() if end == END}
    return min(ways)[0]


class _Gated(StateGraph[Any, Any, Any, Any]):
    """A state graph that looks at what comes in before anything of it is stored."""

    def compile(self, *args: Any, **kwargs: Any) -> CompiledStateGraph[Any, Any, Any, Any]:
        compiled = super().compile(*args, **kwargs)
        compiled.nodes[START].bound = _Gate()
        return compiled


class _Gate(Runnable[Any, dict[str, Any]]):
    """`checked_input`, and nothing of what a RunnableLambda costs beside."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> dict[str, Any]:  # noqa: A002 - LangChain's name
        return checked_input(input)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> dict[str, Any]:  # noqa: A002 - LangChain's name
        return checked_input(input)


class _Wiring:
    """Adds the nodes, the five with the further steps behind them."""

    def __init__(self, graph: StateGraph[Any, Any, Any, Any], steps: Steps, window: Window | None) -> None:
        self._graph = graph
        self._steps = steps
        self._window = window
        # What runs before the model is called, and what it reads of what is stored.
        self._lookups: list[Lookup] = []
        self._looked_at: set[str] = set()

    def wired(self) -> dict[str, str]:
        """Of each of the five the last step of what follows it."""
        last: dict[str, str] = {}
        for name in FIVE:
            last[name] = name
            self._add(name, self._steps.nodes[name], looks=_LOOKS.get(name))
            for extra, node in self._steps.behind(name):
                self._add(extra, node, looks=_LOOKS.get(name))
                self._graph.add_edge(last[name], extra)
                last[name] = extra
        return last

    def _add(self, name: str, given: Any, *, looks: str | None) -> None:
        node = reader(given)
        reads: Any = get_type_hints(type(node).__call__)["state"]
        names = set(reads.__annotations__)
        # A further look-up that paused leaves all that those before it make, or it would ask once more.
        needs = names & TURN_ONLY.keys()
        if looks and name not in FIVE:
            needs |= {lookup.makes for lookup in self._lookups}
        traced = Traced(name, self._stepping(name, node))
        step = self._supplied(name, traced, names, frozenset(needs))
        wider = isinstance(step, Supplied) and not self._looked_at | needs <= names
        self._graph.add_node(name, step, input_schema=State if wider else reads)
        if looks:
            self._lookups.append(Lookup(traced, looks))
            self._looked_at |= names - TURN_ONLY.keys()

    def _stepping(self, name: str, node: Any) -> Any:
        if name not in FIVE:
            return Written(node)
        return self._answering(node) if name == "call_model" else node

    def _answering(self, node: Any) -> Any:
        return Asked(Windowed(node, self._window) if self._window else node)

    def _supplied(self, name: str, node: Any, reads: set[str], needs: frozenset[str]) -> Any:
        """The step, with what only a turn needs where it reads that or makes it."""
        lookups = tuple(self._lookups)
        if name == "execute_tools":
            return SuppliedCall(node, lookups) if "config" in needs else node
        made = _LOOKS.get(name)
        if not made and not (needs and lookups):
            return node
        alone = None if self._looked_at | needs <= reads else reads
        return Supplied(node, lookups, needs, makes=made, reads=alone)
