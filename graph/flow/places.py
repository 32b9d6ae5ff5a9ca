"""Where the steps of the modules stand in the graph; one that can stand nowhere stops the start."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from core.errors import ConfigInvalid
from core.registry import Module, NodeSpec
from graph.flow.absent import ABSENT
from graph.flow.builder import FIVE, Steps
from graph.flow.routing import AfterModel
from graph.flow.state import State

Further = dict[str, tuple[tuple[str, Any], ...]]


def check_places(modules: Sequence[Module]) -> None:
    """Make sure that every step has its place.

    Raises:
        ConfigInvalid: One has none; the sentence names the module, the step and the possible places.
    """
    specs = {module.node.name: module.node for module in modules if module.node}
    places = [*FIVE, *(name for name in specs if name not in FIVE)]
    for module in modules:
        if module.node and (problem := _problem(module.node, places, specs)):
            raise ConfigInvalid(f"module '{module.name}', step '{module.node.name}': {problem}")


def _problem(spec: NodeSpec, places: Sequence[str], specs: dict[str, NodeSpec]) -> str:
    listed = ", ".join(name for name in places if name != spec.name)
    if not spec.name.isidentifier() or spec.name in State.__annotations__ or spec.name.startswith("__"):
        taken = ", ".join(State.__annotations__)
        return f"a step's name is one word of letters, digits and _, and none of the state's: {taken}"
    if spec.name in FIVE:
        return f"it has its place in every turn; leave after='{spec.after}' out" if spec.after else ""
    if not spec.after:
        return f"`after` has to say which step it follows; possible: {listed}"
    if spec.after not in places:
        return f"there is no step '{spec.after}' to follow; possible: {listed}"
    return _circle(spec, specs)


def _circle(spec: NodeSpec, specs: dict[str, NodeSpec]) -> str:
    seen = [spec.name]
    while spec.after and spec.after not in FIVE:
        if spec.after in seen:
            ways = " after ".join([*seen, spec.after])
            return f"steps follow each other in a circle ({ways}); possible: {', '.join(FIVE)}"
        seen.append(spec.after)
        spec = specs[spec.after]
    return ""


def steps_of(
    running: Iterable[Module],
    declared: Sequence[Module],
    node_of: Callable[[NodeSpec], Any],
    after_model: AfterModel,
) -> Steps:
    """The steps of the modules that run, and a stand-in for each of the five that is missing.

    Args:
        declared: Every module: a step whose neighbour does not run stands where that one would.
    """
    specs = [module.node for module in running if module.node]
    nodes: dict[str, Any] = {name: kind() for name, kind in ABSENT.items()}
    nodes |= {spec.name: node_of(spec) for spec in specs if not spec.after}
    there = {*FIVE, *(spec.name for spec in specs)}
    befores = {module.node.name: module.node.after for module in declared if module.node}
    extra: Further = {}
    for spec in specs:
        if place := spec.after:
            while place not in there:
                place = befores[place]
            extra[place] = (*extra.get(place, ()), (spec.name, node_of(spec)))
    return Steps(nodes, after_model, extra)


def class_of(spec: NodeSpec) -> Any:
    """The class of a step."""
    return pkgutil.resolve_name(spec.step)
