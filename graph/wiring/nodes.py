"""The nodes that the modules bring, as one thing that the container makes."""

# No `from __future__ import annotations`: dishka reads the annotations at run time.

from collections.abc import Sequence
from dataclasses import make_dataclass
from typing import Any

from dishka import Provider, Scope

from core.registry import Module
from graph.flow.builder import Steps
from graph.flow.places import class_of, steps_of
from graph.flow.routing import AfterModel


def node_provider(running: Sequence[Module], declared: Sequence[Module] = ()) -> Provider:
    """Provides `Steps`: each running module's node at its place among all that are declared.

    The nodes are fields of a class made for these modules, so that the
    container sees at its start what each of them needs.
    """
    specs = [module.node for module in running if module.node]
    bag: Any = make_dataclass("Nodes", [(spec.name, class_of(spec)) for spec in specs])

    def steps(nodes: Any, after_model: AfterModel) -> Steps:
        return steps_of(running, declared or running, lambda spec: getattr(nodes, spec.name), after_model)

    steps.__annotations__["nodes"] = bag
    provider = Provider(scope=Scope.APP)
    provider.provide(bag)
    provider.provide(steps)
    return provider
