"""What fails in the whole run is tried once more alone, and nothing is hidden by that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.second_chance import MEASURED
from waystation.testing.service import ROOT

pytestmark = pytest.mark.slow

PASSING = "import kept\ndef test_passes(): pass\n"
FIRST_TIME = """import os, pathlib, pytest
ran = pathlib.Path(f"{__name__}.ran")
first = not ran.exists()
ran.touch()
"""
FLAKY = f"{FIRST_TIME}def test_flaky(): assert not first\n"
FIXTURE = f"""{FIRST_TIME}
@pytest.fixture(scope='module')
def late(): assert not first
@pytest.mark.parametrize('number', range(18))
def test_asks(number, late): pass
"""
MANY = (FLAKY,) * 6
FAILING = "def test_fails(): assert False\n"
CRASHING = f"{FIRST_TIME}def test_crashes():\n    if first: os._exit(9)\n"
BROKEN = "import nothing_of_this_name\n"


def run(folder: Path, *contents: str, workers: int = 0) -> subprocess.CompletedProcess[str]:
    """Made-up tests in files of their own, beside one that passes, as `make test` runs ours."""
    options = f"-n {workers} -p xdist --import-mode=importlib"
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = .\naddopts = {options}\n")
    (folder / ".coveragerc").write_text("[run]\nbranch = true\nsource = kept\n")
    (folder / "kept").mkdir()
    (folder / "kept/__init__.py").touch()
    for number, content in enumerate((PASSING, *contents)):
        (folder / f"test_{number}.py").write_text(content)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    return subprocess.run(
        [sys.executable, "-m", "tests.kit.second_chance", MEASURED],
        cwd=folder,
        env={**environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.always
def test_what_passes_alone_is_named_and_the_build_passes(tmp_path: Path) -> None:
    of_an_earlier_run = tmp_path / ".pytest_cache/v/cache/lastfailed"
    of_an_earlier_run.parent.mkdir(parents=True)
    of_an_earlier_run.write_text(json.dumps({"test_gone.py::test_gone": True}))
    done = run(tmp_path, FLAKY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("\nfailed in the whole run and passed alone: test_1.py::test_flaky\n")
    assert len(list(tmp_path.glob(".coverage.*"))) == 1  # what runs twice is not measured twice


def test_what_fails_again_fails_the_build(tmp_path: Path) -> None:
    done = run(tmp_path, FLAKY, FAILING)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "once more, alone: test_1.py::test_flaky, test_2.py::test_fails\n" in done.stdout
    assert "passed alone" not in done.stdout


def test_a_fixture_that_failed_once_is_one_failure_however_many_ask_for_it(tmp_path: Path) -> None:
    done = run(tmp_path, FIXTURE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed alone: test_1.py::test_asks[0], test_1.py::test_asks[10]," in done.stdout


@pytest.mark.parametrize(
    ("contents", "code"),
    [(MANY, 1), ((CRASHING,), 3), ((BROKEN,), 3)],
    ids=["many", "a crash", "a broken file"],
)
def test_many_failures_crashes_and_broken_files_get_no_second_chance(
    tmp_path: Path, contents: tuple[str, ...], code: int
) -> None:
    done = run(tmp_path, *contents, workers=1)
    assert done.returncode == code, done.stdout + done.stderr
    assert "alone" not in done.stdout
