"""How many of our files one message crosses, and one tool call: hardly more than now."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.registry import discover

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MOST = {"message": 60, "tool_call": 75}
FURTHER = tuple(
    f"nodes/{module.name}/" for module in discover() if not any(step.part for step in module.all_steps)
)


@pytest.fixture(scope="module")
def crossed() -> dict[str, list[str]]:
    """In a process of its own: every call there is noted."""
    command = [sys.executable, "-m", "tests.architecture.crossing", "--list"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("kind", MOST)
def test_a_turn_crosses_no_more_files_than_it_did(crossed: dict[str, list[str]], kind: str) -> None:
    found = crossed[kind]
    assert {"graph/runs/ledger.py", "nodes/llm/node.py", "server/sse.py"} <= set(found)
    assert ("nodes/mcp_tools/node.py" in found) == (kind == "tool_call")
    # Modules that bring a further step alone are paid for by whoever wants them.
    every_turns = [path for path in found if not path.startswith(FURTHER)]
    assert len(every_turns) <= MOST[kind], "\n".join(every_turns)
