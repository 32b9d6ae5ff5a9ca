"""The fingerprint stays the same where the graph does, and tells what a checkpoint depends on."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from operator import add
from typing import Annotated, Any, Optional, Union

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from typing_extensions import TypedDict

from graph.checkpoints.fingerprint import fingerprint, shape, type_name

pytestmark = pytest.mark.slow


class State(TypedDict, total=False):
    said: Annotated[list[str], add]
    count: int


class Wider(State, total=False):
    more: str


class Replacing(TypedDict, total=False):
    said: list[str]
    count: int


@dataclass
class Context:
    user: str = ""


def step(state: State) -> State:
    return {}


def decide(state: Any) -> str:
    return "b"


def built(
    schema: Any = State, *, names: tuple[str, ...] = ("a", "b", "c"), context: Any = None, ends: Any = None
) -> CompiledStateGraph[Any, Any, Any, Any]:
    graph = StateGraph(schema, context_schema=context)
    for name in names:
        graph.add_node(name, step, input_schema=schema)
    graph.add_edge(START, names[0])
    graph.add_conditional_edges(names[0], decide, ends or list(names[1:]))
    graph.add_edge(names[-1], END)
    return graph.compile()


def test_the_same_graph_has_the_same_fingerprint_in_another_process() -> None:
    code = f"from {__name__} import built, fingerprint; print(fingerprint(built()))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {fingerprint(built())}
    assert len(fingerprint(built())) == 16


@pytest.mark.parametrize(
    "other",
    [
        built(Wider),
        built(Replacing),
        built(names=("a", "b", "d")),
        built(names=("a", "b")),
        built(context=Context),
        built(ends=["c"]),
    ],
    ids=["channel", "reducer", "renamed", "removed", "context", "target"],
)
def test_what_a_checkpoint_depends_on_changes_it(other: CompiledStateGraph[Any, Any, Any, Any]) -> None:
    assert fingerprint(other) != fingerprint(built())


def test_the_order_of_declaration_does_not_matter() -> None:
    graph = StateGraph(State)
    for name in ("c", "b", "a"):
        graph.add_node(name, step)
    graph.add_edge("c", END)
    graph.add_conditional_edges("a", decide, ["c", "b"])
    graph.add_edge(START, "a")
    assert fingerprint(graph.compile()) == fingerprint(built())


def test_it_is_made_of_names_and_types_only() -> None:
    found = shape(built(context=Context))
    assert found["channels"] == {
        "said": ["BinaryOperatorAggregate", "list[str]", "_operator.add"],
        "count": ["LastValue", "int"],
    }
    assert found["branches"] == {"a": [["b", "c"]]}
    assert found["context"] == {"user": "str"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Optional[int], int | None),  # noqa: UP045 - the old spelling is what is tested
        (Union[str, int], int | str),  # noqa: UP007 - the same
        (Annotated[int, "x"], int),
    ],
)
def test_a_type_has_one_name_however_it_is_written(one: Any, other: Any) -> None:
    assert type_name(one) == type_name(other)
