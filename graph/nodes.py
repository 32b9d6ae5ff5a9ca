"""The nodes that the modules bring, as one thing that the container makes."""

# No `from __future__ import annotations`: dishka reads the annotations at run time.

import pkgutil
from collections.abc import Sequence
from dataclasses import make_dataclass
from typing import Any

from dishka import Provider, Scope

from core.registry import Module
from graph.absent import ABSENT
from graph.builder import Steps
from graph.routing import AfterModel


def node_provider(modules: Sequence[Module]) -> Provider:
    """Provides `Steps`: each module's node, and a stand-in for each of the five that is missing.

    The nodes are fields of a class made for these modules, so that the
    container sees at its start what each of them needs.
    """
    specs = [module.node for module in modules if module.node]
    bag: Any = make_dataclass("Nodes", [(spec.name, pkgutil.resolve_name(spec.step)) for spec in specs])

    def steps(nodes: Any, after_model: AfterModel) -> Steps:
        found = {name: kind() for name, kind in ABSENT.items()}
        extra: dict[str, tuple[tuple[str, Any], ...]] = {}
        for spec in specs:
            node = getattr(nodes, spec.name)
            if spec.after:
                extra[spec.after] = (*extra.get(spec.after, ()), (spec.name, node))
            else:
                found[spec.name] = node
        return Steps(found, after_model, extra)

    steps.__annotations__["nodes"] = bag
    provider = Provider(scope=Scope.APP)
    provider.provide(bag)
    provider.provide(steps)
    return provider
