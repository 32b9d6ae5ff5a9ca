"""What pages call things: status words, branches and found texts, asked of the page's own script."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[4] / "server" / "console" / "static" / "said.js"
ASKS = f"""
const said = await import({SCRIPT.as_uri()!r});
const [statuses, rows, pieces] = JSON.parse(process.argv[1]);
console.log(JSON.stringify([
  statuses.map(said.wordOf),
  [...said.branches(rows)],
  pieces.map((text) => said.plain(text, said.isJson(text))),
]));
"""
STATUSES = [
    ({"status": "interrupted", "waiting": [{"id": "i"}]}, "waiting"),
    ({"status": "interrupted", "waiting": []}, "interrupted"),
    ({"status": "interrupted", "reason": "person"}, "waiting"),
    ({"status": "interrupted", "reason": "shutdown"}, "interrupted"),
    ({"status": "idle", "waiting": []}, "quiet"),
    ({"status": "cancelled"}, "stopped"),
    ({"status": "done"}, "done"),
]
ROWS = [
    {"id": "late", "title": "Fees", "parent": "t", "created_at": "2026-02-02T00:00:00Z"},
    {"id": "t", "title": "Fees", "parent": None, "created_at": "2026-01-01T00:00:00Z"},
    {"id": "early", "title": "Fees", "parent": "t", "created_at": "2026-02-01T00:00:00Z"},
    {"id": "other", "title": "Boats", "parent": "b", "created_at": "2026-03-01T00:00:00Z"},
]
PIECES = [
    ('{"result":8,"note":"as asked"}', "result: 8, note: as asked"),
    ('…"name": "Ada", "boats": [{"id": 1}]…', "…name: Ada, boats: id: 1…"),
    ("The fee [1] is 15 euros.", "The fee [1] is 15 euros."),
    ("What is 5 + 3?", "What is 5 + 3?"),
]


@pytest.fixture(scope="module")
def answers() -> list[Any]:
    """One start of Node.js for all that is asked."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("there is no Node.js: install it to ask the pages' own scripts")
    given = json.dumps([[asked for asked, _ in STATUSES], ROWS, [piece for piece, _ in PIECES]])
    command = [program, "--input-type=module", "-e", ASKS, given]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def test_a_status_has_one_word_wherever_it_stands(answers: list[Any]) -> None:
    assert answers[0] == [word for _, word in STATUSES]


def test_branches_of_one_title_are_numbered_as_they_were_made(answers: list[Any]) -> None:
    assert dict(answers[1]) == {"early": "branch 1", "late": "branch 2", "other": "branch 1"}


def test_what_a_tool_gave_back_is_found_without_the_signs_of_json(answers: list[Any]) -> None:
    assert answers[2] == [shown for _, shown in PIECES]
