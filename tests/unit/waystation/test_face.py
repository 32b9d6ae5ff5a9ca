"""`from waystation import ...`: what is there, what it says of itself, and that it loads nothing unasked."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import waystation
import waystation.testing

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
# What a user, a notebook or a module of somebody else needs: the list of README and handbook.
EXPECTED = """
Agent Book Cache ChatModel Choices ConfigErrors ConfigFile ConfigInvalid ConfigManager Conflict Context
Event EventBus FileManager FileStore Handle Health HealthState InvalidInput JsonFlag LLMCaller LeaseLost
MCPToolManager Module NotAllowed NotFound Options Places Policies Principal RAGClient Recording Retriever
RunContext RunNotFound RunRecord Section StartFailed State Step Steps StorageUnavailable Strict Task
TaskContext TaskQueue ThreadBusy ThreadNotFound TimedOut TooLarge ToolExecutor TurnRequest Unavailable
WaystationError as_pytest command context_of degraded failed healthy make_app may_use open_module owns
print_json print_table record replay run_node shipped show
"""
ALIASES = {"JsonFlag"}
OURS = ("core", "graph", "nodes", "server", "tools")


def imports(package: ModuleType) -> dict[str, str]:
    """The module of each name that a package imports for type checkers."""
    source = Path(package.__file__ or "").read_text(encoding="utf-8")
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.module]
    return {
        alias.name: node.module or ""
        for node in found
        for alias in node.names
        if (node.module or "").startswith((*(f"{name}." for name in OURS), "waystation.testing."))
    }


def test_the_names_are_these_and_are_sorted() -> None:
    assert waystation.__all__ == sorted(EXPECTED.split())
    assert dir(waystation) == waystation.__all__


@pytest.mark.parametrize("package", [waystation, waystation.testing], ids=lambda package: package.__name__)
def test_type_checkers_are_told_the_same_homes_as_python(package: ModuleType) -> None:
    assert imports(package) == package._HOME_OF
    assert sorted(package._HOME_OF) == package.__all__


NAMES = [(package, name) for package in (waystation, waystation.testing) for name in package.__all__]


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_each_name_is_there_and_says_what_a_caller_needs(package: ModuleType, name: str) -> None:
    found = getattr(package, name)
    if name not in ALIASES:
        # Dataclasses without a docstring have their signature as one.
        text = inspect.getdoc(found) or ""
        assert len(text) > 20, name
        assert not text.startswith(f"{name}("), name


def test_another_name_is_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="module 'waystation' has no attribute 'Agnet'"):
        _ = waystation.Agnet  # type: ignore[attr-defined]  # that is the point


def test_importing_it_imports_nothing_else_of_ours() -> None:
    loaded = f"[m for m in sys.modules if m.split('.')[0] in {OURS}]"
    code = f"import json, sys, waystation; print(json.dumps({loaded}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == []


def documents() -> list[Path]:
    sample = [p for p in (ROOT / "tests" / "sample-module").rglob("*.py") if "build" not in p.parts]
    return [
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "notebooks").glob("*.ipynb")),
        *sorted(sample),
    ]


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_what_is_shown_to_users_imports_from_the_face_alone(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        text = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    lines = [line for line in re.split(r"\n|\\n", text) if re.match(r"\W*(from|import) ", line)]
    assert [line for line in lines if re.search(rf"(from|import) ({'|'.join(OURS)}|tests)\b", line)] == []
