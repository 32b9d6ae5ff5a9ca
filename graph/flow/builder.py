"""The graph: edges only, to read like the diagram. The table of steps says what stands where."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, get_type_hints

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from core.access import RunContext
from core.steps import PARTS
from graph.flow.nodes import Asked, ForeignStep, Lookup, Lookups, Supplied, SuppliedCall, Traced, reader
from graph.flow.routing import (
    AfterModel,
    ObservedStep,
    Window,
    Windowed,
    after_files,
    ahead_of_tools,
    at_once,
    run_lean,
    way,
)
from graph.flow.state import Gate, Input, State
from graph.flow.steps import MAKES, Placed, Steps, is_own


def build_graph(
    steps: Steps, after_model: AfterModel, window: Window | None = None
) -> StateGraph[Any, Any, Any, Any]:
    """The state graph, not yet compiled: the server gives it a checkpointer, Studio its own.

    Args:
        window: What the state keeps of a long thread; None keeps everything, as
            Studio needs it, which has no transcript.
    """
    graph = _Gated(steps.state, context_schema=RunContext, input_schema=Input)
    _Nodes(graph, steps, window).add()
    names = {part: [placed.name for placed in steps.of(part)] for part in PARTS}
    first, last = ({part: found[end] for part, found in names.items()} for end in (0, -1))
    ways = steps.ways
    for part in PARTS:
        for one, next_one in pairwise(names[part]):
            if (part, next_one) != ("tools", ways.tools):
                graph.add_edge(one, next_one)
    # Where no step is somebody else's, a turn may make its look-ups within the model's, and end behind that.
    short = graph.of_the_house
    if short:
        graph.add_conditional_edges(START, way(at_once(ways.begin, graph.model)), [ways.begin, graph.model])
    else:
        graph.add_edge(START, ways.begin)
    graph.add_edge(last["config"], first["passages"])
    graph.add_edge(last["passages"], first["model"])
    ahead = first["tools"] if first["tools"] != ways.tools else ""
    behind_model = way(after_model.ways(ways, tools_ahead=ahead, short=short))
    ends = [ahead or ways.tools, ways.files, ways.begin, *([END] if short else [])]
    graph.add_conditional_edges(last["model"], behind_model, ends)
    if ahead:
        before = names["tools"][names["tools"].index(ways.tools) - 1]
        graph.add_conditional_edges(before, way(ahead_of_tools(ways)), [ways.tools, ways.files])
    # Always to the model: calls of one answer may end in different attempts, and have to agree on the way.
    graph.add_edge(last["tools"], first["model"])
    graph.add_conditional_edges(last["files"], way(after_files(ways.begin)), [END, ways.begin])
    return graph


def last_step(graph: CompiledStateGraph[Any, Any, Any, Any]) -> str:
    """The step behind which a turn is over: what is written in its place leaves nothing open.

    Not the model's, behind which only a turn that has nothing to store is over.
    """
    builder: Any = graph.builder
    found = {start for start, end in builder.edges if end == END}
    for start, branches in builder.branches.items():
        found |= {start for way in branches.values() if END in (way.ends or {}).values()}
    return str(min(found - {getattr(builder, "model", "")}))


def model_step(graph: CompiledStateGraph[Any, Any, Any, Any]) -> str:
    """The step that calls the model, of a graph that was built here."""
    builder: Any = graph.builder
    name: str = builder.model
    return name


def looking_steps(graph: CompiledStateGraph[Any, Any, Any, Any]) -> frozenset[str]:
    """The steps that only look something up for the turn: nothing is lost where they are made again."""
    builder: Any = graph.builder
    return frozenset(getattr(builder, "looking", ()))


def is_of_the_house(graph: CompiledStateGraph[Any, Any, Any, Any]) -> bool:
    """Whether every node is one of the five modules' (see `is_own`): they tell by their runtime alone."""
    return bool(getattr(graph.builder, "of_the_house", False))


class _Gated(StateGraph[Any, Any, Any, Any]):
    """A state graph that looks at what comes in before anything of it is stored."""

    model = ""
    looking: frozenset[str] = frozenset()
    # Those whose code is ours: a further step may leave something behind in its context.
    own: frozenset[str] = frozenset()
    of_the_house = False

    def compile(self, *args: Any, **kwargs: Any) -> CompiledStateGraph[Any, Any, Any, Any]:
        compiled = super().compile(*args, **kwargs)
        compiled.nodes[START].bound = Gate()
        run_lean(compiled, self.own)
        return compiled


class _Nodes:
    """Adds the nodes, each with what it needs around it."""

    def __init__(self, graph: _Gated, steps: Steps, window: Window | None) -> None:
        self._graph = graph
        self._steps = steps
        self._window = window
        # What runs before the model is called, and what it reads of what is stored.
        self._lookups: list[Lookup] = []
        self._looked_at: set[str] = set()
        self._made: set[str] = set()

    def add(self) -> None:
        self._graph.model = self._steps.main("model").name
        looks = {placed.name for placed in self._steps.placed if getattr(placed.node, "only_looks", False)}
        self._graph.looking = frozenset({START, *looks})
        self._graph.own = frozenset(placed.name for placed in self._steps.placed if not placed.foreign)
        self._graph.of_the_house = all(is_own(placed.node) for placed in self._steps.placed)
        for placed in self._steps.placed:
            self._add(placed)

    def _add(self, placed: Placed) -> None:
        node = reader(placed.node)
        reads: Any = get_type_hints(type(node).__call__)["state"]
        reads = self._steps.state if reads is State else reads
        turn, names = self._steps.turn_only, set(reads.__annotations__)
        makes = placed.step.makes or MAKES.get(placed.part, "")
        # Of what is made before it in the graph: nobody looks up what comes later.
        needs = names & turn.keys() & self._made
        # A further look-up that paused leaves all that those before it make, or it would ask once more.
        if MAKES.get(placed.part) and not placed.main:
            needs |= self._made
        traced = Traced(placed.name, self._stepping(placed, node))
        # A step begins when it has what it needs: looking that up is the work of other steps, in its task.
        heard = ObservedStep(placed.name, traced)
        step = self._supplied(placed, heard, names, frozenset(needs))
        wider = isinstance(step, Supplied) and not self._looked_at | needs <= names
        self._graph.add_node(placed.name, step, input_schema=self._steps.state if wider else reads)
        if makes and placed.part in MAKES:
            self._lookups.append(Lookup(heard, traced, makes))
            self._looked_at |= names - turn.keys()
            if placed.main or placed.step.makes:
                self._made.add(makes)

    def _stepping(self, placed: Placed, node: Any) -> Any:
        model = placed.main and placed.part == "model"
        if placed.foreign:
            channels = self._steps.state.__annotations__.keys()
            node = ForeignStep(node, placed.name, channels, answers=model)
        if not model:
            return node
        return Asked(Windowed(node, self._window) if self._window else node)

    def _supplied(self, placed: Placed, node: Any, reads: set[str], needs: frozenset[str]) -> Any:
        """The step, with what only a turn needs where it reads that or makes it."""
        lookups = Lookups(tuple(self._lookups), self._steps.turn_only)
        if placed.main and placed.part == "tools":
            return self._supplied_call(node, lookups) if "config" in needs else node
        made = placed.step.makes or (MAKES.get(placed.part, "") if placed.main else "")
        if not made and not (needs and lookups.steps):
            return node
        alone = None if self._looked_at | needs <= reads else reads
        return Supplied(node, lookups, needs, makes=made, reads=alone)

    def _supplied_call(self, node: Any, lookups: Lookups) -> SuppliedCall:
        channels: Sequence[str] = list(self._steps.state.__annotations__)
        ways, model = self._steps.ways, self._graph.model
        return SuppliedCall(node, lookups, channels=channels, ways=ways, model=model)
