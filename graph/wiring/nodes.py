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
    owners = {step.name: f"module '{module.name}', " for module in running for step in module.all_steps}
    made = {step.name: kind for step in wanted if isinstance(kind := loaded(step.run), type)}
    # Numbered: a step may have the name of a keyword.
    fields = {name: f"node{place}" for place, name in enumerate(made)}
    bag: Any = make_dataclass("Nodes", [(fields[name], kind) for name, kind in made.items()])

    def steps(nodes: Any) -> Steps:
        def node(step: Step) -> Any:
            if step.name in made:
                return getattr(nodes, fields[step.name])
            try:
                return node_of(step.run)
            except InvalidInput as error:
                raise ConfigInvalid(f"{owners.get(step.name, '')}step '{step.name}': {error}") from error

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


def _factories(module: Module) -> Sequence[Any]:
    return list(module.made_provider().factories)
