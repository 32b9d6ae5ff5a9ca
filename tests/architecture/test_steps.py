"""A step is declared once: its name stands in its module's declaration, and nowhere else in the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from core.registry import discover
from tests.kit.steps import FIVE

ROOT = Path(__file__).parents[2]
DECLARING = "module.py"
SHOWN = {"server/examples/threads.py", "server/examples/insight.py"}
"""What the API's description shows of a thread, and of the steps of a run."""


def strings(path: Path) -> set[str]:
    """Every string of a file but its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said
    }


@pytest.mark.always
def test_the_name_of_a_step_stands_in_its_declaration_alone() -> None:
    names = {step.name for module in discover() for step in module.all_steps}
    found = {
        str(path.relative_to(ROOT)): sorted(named)
        for top in ("core", "graph", "nodes", "server")
        for path in (ROOT / top).rglob("*.py")
        if path.name != DECLARING and (named := names & strings(path))
    }
    assert set(found) == SHOWN, found
    assert names >= set(FIVE)
