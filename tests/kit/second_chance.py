"""Runs the tests, and what fails among all once more alone: `python -m tests.kit.second_chance PYTEST-WORDS`.

A test that fails only beside others on a busy machine is named in a line, for somebody to mend; one that
fails again, and whatever else goes wrong, fails the build.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

# What fails in more files is no accident of a busy machine. Not tests: a fixture that fails takes with it all
# that ask for it.
MOST_FILES = 5
BROKEN = 3
# The plugin that measures coverage, as a word of pytest's.
MEASURED = "-ptests.kit.probes"
_LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")
_broken: list[str] = []


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str) -> None:
    """A worker that dies takes what it would have told with it: no case for a second chance."""
    _broken.append(crashitem)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A file that cannot be collected hides all its tests: likewise."""
    if report.failed:
        _broken.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell these from failures of tests by the exit code."""
    if _broken:
        session.exitstatus = BROKEN


def main(words: Sequence[str]) -> int:
    """The exit code: pytest's, or 0 when all that failed passed alone."""
    code = _pytest("--cache-clear", "-p", "tests.kit.second_chance", *words)
    failed = _last_failed()
    files = {test.partition("::")[0] for test in failed}
    if code != pytest.ExitCode.TESTS_FAILED or not 0 < len(files) <= MOST_FILES:
        return code
    print(f"\nonce more, alone: {', '.join(failed)}", flush=True)
    # The whole run's coverage stays as it is: what runs twice is not measured twice.
    again = [word for word in words if word != MEASURED]
    code = _pytest(*again, "--last-failed", "--last-failed-no-failures", "none", "-n", "0")
    if code == 0:
        print(f"failed in the whole run and passed alone: {', '.join(failed)}", flush=True)
    return code


def _pytest(*words: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *words], check=False).returncode


def _last_failed() -> list[str]:
    """What failed, as pytest's cache has it: tests, and files that could not be collected."""
    return sorted(json.loads(_LAST_FAILED.read_text(encoding="utf-8"))) if _LAST_FAILED.exists() else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
