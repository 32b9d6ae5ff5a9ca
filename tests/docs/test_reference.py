"""docs/reference says what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs import generate

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(generate.REFERENCE.iterdir())


@pytest.mark.always
def test_every_page_is_up_to_date() -> None:
    # In a process of its own: classes that other tests define must not appear among the errors.
    command = [sys.executable, "-m", "docs.generate", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_check_names_what_is_out_of_date_and_writes_nothing_and_a_run_puts_it_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = {name: generate.PAGES[name] for name in ("events.md", "graph.md")}
    (tmp_path / "left-over.md").write_text("nobody writes this any more")
    (tmp_path / "graph.md").write_text("old")

    assert generate.main(["--check"], folder=tmp_path, pages=pages) == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(";")[0].rpartition("/")[2] for line in told] == [
        "events.md",
        "graph.md",
        "left-over.md",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph.md", "left-over.md"]

    assert generate.main([], folder=tmp_path, pages=pages) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.md", "graph.md"]
    assert (tmp_path / "graph.md").read_text() == (generate.REFERENCE / "graph.md").read_text()
    assert generate.main(["--check"], folder=tmp_path, pages=pages) == 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_page_names_a_place_of_this_machine(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert str(Path.home()) not in text
    assert not re.search(r"(?<![\w.])/(?:tmp|home|usr|var|root|work|opt)/", text)


def test_every_setting_has_a_meaning() -> None:
    rows = (generate.REFERENCE / "settings.md").read_text(encoding="utf-8").splitlines()
    assert [row for row in rows if row.startswith("|") and row.endswith("|  |")] == []
