"""The nodes of every step, as one thing that the container makes."""

# No `from __future__ import annotations`: dishka reads the annotations at run time.

from collections.abc import Sequence
from dataclasses import make_dataclass
from typing import Any

from dishka import Provider, Scope

from core.errors import ConfigInvalid, InvalidInput
from core.registry import Module, loaded
from core.steps import Step
from graph.flow.nodes import node_of
from graph.flow.steps import Steps, declared_by, placed


def node_provider(
    running: Sequence[Module], declared: Sequence[Module] = (), own: Sequence[Step] = ()
) -> Provider:
    """Provides `Steps`: each running module's steps, and `own` ones, in their places among all declared.

    Nodes that are classes of modules are fields of a class made for these modules, so that the
    container sees at its start what each of them needs; one that no provider makes is made here.
    """
    wanted = declared_by(running)
    made = {step.name: kind for step in wanted if isinstance(kind := loaded(step.run), type)}
    bag: Any = make_dataclass("Nodes", list(made.items()))

    def steps(nodes: Any) -> Steps:
        def node(step: Step) -> Any:
            return getattr(nodes, step.name) if step.name in made else _node(step)

        return placed([*wanted, *own], [*declared_by(declared or running), *own], node)

    steps.__annotations__["nodes"] = bag
    provider = Provider(scope=Scope.APP)
    provider.provide(bag)
    provider.provide(steps)
    provided = {factory.provides.type_hint for module in running for factory in _factories(module)}
    for kind in made.values():
        if kind not in provided:
            provider.provide(kind)
    return provider


def _node(step: Step) -> Any:
    try:
        return node_of(step.run)
    except InvalidInput as error:
        raise ConfigInvalid(f"step '{step.name}': {error.detail}") from error


def _factories(module: Module) -> Sequence[Any]:
    return list(loaded(module.provider)().factories)
