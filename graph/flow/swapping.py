"""A node in place of another: any object that is called as nodes are, or its name `module:attribute`."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from langgraph.runtime import Runtime

from core.context import RunContext
from core.errors import InvalidInput
from graph.flow.state import State

Node = Callable[[Any, Runtime[RunContext]], Any]
Swap = Node | type[Any] | str
"""A node, its class, or its name."""


class AnyNode:
    """Makes a node of a function, or of an object that does not say what it reads: it reads everything."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def __call__(self, state: State, runtime: Runtime[RunContext]) -> Any:
        writes = self._node(state, runtime)
        return await writes if inspect.isawaitable(writes) else writes


def swapped(nodes: Mapping[str, Any], swap: Mapping[str, Swap]) -> dict[str, Any]:
    """`nodes`, with those of `swap` in place of the ones of the same name.

    Raises:
        InvalidInput: There is no step of that name, or its replacement cannot be used.
    """
    for name in swap:
        if name not in nodes:
            raise InvalidInput(f"there is no step '{name}'; steps: {', '.join(nodes)}")
    return {**nodes, **{name: node_of(node) for name, node in swap.items()}}


def node_of(given: Swap) -> Any:
    """The node itself; a class is made without arguments.

    Raises:
        InvalidInput: It cannot be found, made or called.
    """
    node: Any = _named(given) if isinstance(given, str) else given
    if isinstance(node, type):
        try:
            node = node()
        except TypeError as error:
            raise InvalidInput(f"{error}; name an object that is ready instead of its class") from error
    if not callable(node):
        raise InvalidInput(f"'{given}' cannot be called; a node is called with (state, runtime)")
    return reader(node)


def reader(node: Any) -> Any:
    """The node; one that does not say what it reads reads everything."""
    return node if _says_what_it_reads(node) else AnyNode(node)


def _named(name: str) -> Any:
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise InvalidInput(f"'{name}' names no node; write module:attribute")
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidInput(f"'{name}' cannot be imported: {error}") from error


def _says_what_it_reads(node: Any) -> bool:
    if inspect.isroutine(node):
        return False
    try:
        reads = get_type_hints(type(node).__call__).get("state")
    except (NameError, TypeError):  # annotations that only their own module, or nobody, can read
        return False
    # `Any` and `dict` are classes too, and name nothing.
    return isinstance(reads, type) and bool(getattr(reads, "__annotations__", None))
