"""No regular expression of ours looks at the same letters again and again, whatever a stranger writes.

Each one of the source is found and tried on text made from its own parts; one
that grows faster than its text fails here by its name. A new one is tried
without being listed. Two lists are by hand: `BOUNDED`, for those whose text is
short before they see it, and `MADE`, for those that are put together while
running and cannot be tried from outside.
"""

from __future__ import annotations

import ast
import re

import pytest

from tests.growth.shapes import FACTOR, MOST_POWER, growth, pumped
from tests.growth.source import Used, every_regex, is_re, of_hand

# Four times each is the next: what explodes is seen before it takes for ever.
SIZES = (64, 256, 1024)
# By module or pattern: the most letters that it sees, and what holds it to that.
BOUNDED = {
    "nodes.llm.offline.arguments": (500, "nodes.llm.offline.request.LONGEST_REQUEST"),
    "nodes.llm.offline.request": (500, "nodes.llm.offline.request.LONGEST_REQUEST"),
    "nodes.llm.offline.sums:_SUM": (500, "nodes.llm.offline.sums.LONGEST_SUM"),
    "nodes.llm.offline.sums:_THEN": (500, "nodes.llm.offline.sums.LONGEST_SUM"),
}
# Put together of what stands in the source and of escaped text: nothing in them repeats.
MADE = {
    "core.callers:_parts": "a separator of ours",
    "core.observability.redaction:add": "secrets, each escaped",
    "core.database.opening:_of_server": "patterns that stand in the module, on what the driver says",
    "nodes.llm.adapters.refusals:not_taken": "names of parameters that stand in the module",
    "nodes.llm.profiles:refuses_temperature": "a name's start, from the table of profiles",
    "nodes.llm.offline.arguments:_after": "leads that stand in the module",
    "nodes.llm.offline.arguments:kind": "words that stand in the module",
    "nodes.llm.offline.arguments:match": "operators of the module, and names of files, escaped",
    "nodes.llm.offline.sums:line": "phrases of the module, on 500 letters",
    "nodes.llm.offline.model:corrected": "one argument, escaped",
    "nodes.rag.rights:_leading": "names of folders, each escaped",
    "nodes.rag.rights:_pattern": "a rule's path, whose stars stop at the first place that fits",
}
EVERY = sorted(every_regex(), key=lambda used: used.place)


@pytest.mark.parametrize(
    "used", [used for used in EVERY if used.pattern is not None], ids=lambda used: used.place
)
def test_a_pattern_takes_no_more_than_its_text(used: Used) -> None:
    assert used.pattern is not None
    most, _ = BOUNDED.get(used.place) or BOUNDED.get(used.module, (FACTOR * SIZES[-1], ""))
    for size in SIZES:
        if size * FACTOR > most:
            break
        for name, make in pumped(used.pattern):
            found = growth(used.run, make, size)
            assert found <= MOST_POWER, f"{used.place}: the work grows with the power {found:.1f} of {name}"


def test_what_is_put_together_while_running_is_known() -> None:
    made = {used.place for used in EVERY if used.pattern is None}
    assert made == set(MADE), "list it in MADE with what it is put together of"


def test_the_bounds_that_are_relied_on_are_there() -> None:
    for most, place in BOUNDED.values():
        module, _, name = place.rpartition(".")
        assert getattr(__import__(module, fromlist=[name]), name) <= most


@pytest.mark.parametrize(
    ("pattern", "way"),
    [
        (r"\s+$", "search"),
        (r'"(?:[^"\\]|\\.)*"', "finditer"),
        (r"^#+\s+(.*?)\s*#*\s*$", "match"),
        (r"\[([^\]]*)\]\([^)]*\)", "sub"),
        (r"\d[\d.,]*(?:[-+]\d[\d.,]*)+", "finditer"),
    ],
)
def test_a_careless_pattern_would_be_found(pattern: str, way: str) -> None:
    careless = re.compile(pattern)
    used = Used("here", "careless", careless, frozenset({way}))
    assert any(growth(used.run, make, size) > MOST_POWER for size in SIZES for _, make in pumped(careless))


def test_a_pattern_of_an_argument_is_made_while_running_whatever_the_module_calls_so() -> None:
    source = "words = 'a|b'\ndef found(words):\n    return re.compile('|'.join(word for word in words))\n"
    tree = ast.parse(source)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    (call,) = [node for node in ast.walk(tree) if is_re(node)]
    assert isinstance(call, ast.Call)
    assert of_hand(call, parents)
    above = ast.parse("words = 'a|b'\nPATTERN = re.compile('|'.join(word for word in words))\n")
    parents = {child: node for node in ast.walk(above) for child in ast.iter_child_nodes(node)}
    (call,) = [node for node in ast.walk(above) if is_re(node)]
    assert isinstance(call, ast.Call)
    assert not of_hand(call, parents)
