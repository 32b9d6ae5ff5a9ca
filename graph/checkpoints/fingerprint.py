"""A short hash of what a checkpoint depends on: the graph's steps and edges, its channels, its context."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from langgraph.channels.base import BaseChannel
from langgraph.graph.state import CompiledStateGraph

FINGERPRINT = "fingerprint"
"""The key in a checkpoint's metadata."""

_FORM = 1
_DIGITS = 16


def fingerprint(graph: CompiledStateGraph[Any, Any, Any, Any]) -> str:
    """16 hexadecimal digits, the same in every process and on every version of Python."""
    text = json.dumps([_FORM, shape(graph)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def shape(graph: CompiledStateGraph[Any, Any, Any, Any]) -> dict[str, Any]:
    """What the fingerprint is made of, as JSON: names and types only, no values and nothing secret."""
    builder = graph.builder
    return {
        "nodes": {
            name: sorted(builder.schemas.get(node.input_schema, ())) for name, node in builder.nodes.items()
        },
        "edges": sorted(
            [*([start, end] for start, end in builder.edges), *_joins(builder.waiting_edges)],
            key=json.dumps,
        ),
        "branches": {
            name: sorted(_ends(branch.ends) for branch in branches.values())
            for name, branches in builder.branches.items()
        },
        "channels": {name: _channel(channel) for name, channel in builder.channels.items()},
        "context": _fields(graph.context_schema),
    }


def _joins(waiting: Iterable[tuple[tuple[str, ...], str]]) -> list[list[Any]]:
    return [[sorted(starts), end] for starts, end in waiting]


def _ends(ends: Mapping[Any, str] | None) -> list[str]:
    """Where a decision may lead; everywhere, if it does not say."""
    return ["*"] if ends is None else sorted(set(ends.values()))


def _channel(channel: BaseChannel[Any, Any, Any]) -> list[str]:
    reducers = (getattr(channel, name, None) for name in ("operator", "reducer"))
    return [
        type(channel).__qualname__,
        type_name(getattr(channel, "typ", Any)),
        *(_qualified(reducer) for reducer in reducers if reducer is not None),
    ]


def _fields(schema: Any) -> dict[str, str]:
    if schema is None:
        return {}
    return {name: type_name(found) for name, found in get_type_hints(schema).items()}


def type_name(found: Any) -> str:
    """A type in words that do not change with Python: unions sorted, annotations left out."""
    origin, args = get_origin(found), get_args(found)
    if origin is Annotated:
        return type_name(args[0])
    if origin in {Union, UnionType}:
        return " | ".join(sorted({type_name(arg) for arg in args}))
    if origin is Literal:
        return f"Literal[{', '.join(sorted(repr(arg) for arg in args))}]"
    if origin is not None:
        return f"{_qualified(origin)}[{', '.join(type_name(arg) for arg in args)}]"
    # In some versions of Python Any is a class of its module, in others not.
    return {None: "None", NoneType: "None", Any: "Any"}.get(found) or _qualified(found)


def _qualified(found: Any) -> str:
    name = getattr(found, "__qualname__", None) or getattr(found, "__name__", None)
    if name is None:
        # A callable object, such as a partial: its class is all that stays the same.
        return found if isinstance(found, str) else _qualified(type(found))
    module = getattr(found, "__module__", "")
    return name if module in {"builtins", "", None} else f"{module}.{name}"
