"""`pytest --spent FILE`: what each test took of a core, as lines of JSON, dearest file first in the summary.

Seconds on a clock say how busy the machine was. What a process that a test starts took counts when the test
(or the fixture that started it) has waited for its end.

Rows whose `when` is "shared" are of what is set up for a whole file: its fixture, by file and name.
"""

from __future__ import annotations

import json
import resource
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.costs import SHARED, shared_name

SHOWN = 40


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--spent", metavar="FILE", help="write what each test took of a core")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--spent"):
        config.pluginmanager.register(Spent(Path(config.getoption("--spent"))))


class Spent:
    """Of a worker: notes it in each report. Of the process that has the reports: adds them up."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = _used()
        self._rows: list[dict[str, Any]] = []
        self._shared: list[dict[str, Any]] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
        """What it asks for stands already."""
        used, began = _used(), time.monotonic()
        try:
            return (yield)
        finally:
            if fixturedef.scope in SHARED:
                wall = time.monotonic() - began
                self._shared.append(_row(shared_name(fixturedef), "shared", _since(used), wall))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        spent, self._before = _since(self._before), _used()
        # Reports travel from worker to controller with whatever attributes they have.
        row = _row(report.nodeid, str(report.when), spent, report.duration)
        vars(report)["spent"] = [row, *self._shared]
        self._shared.clear()
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._rows += vars(report)["spent"]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        self._path.write_text("".join(f"{json.dumps(row)}\n" for row in self._rows), encoding="utf-8")
        files: Counter[str] = Counter()
        for row in self._rows:
            if row["when"] != "shared":  # a part of its first test's setup
                files[row["test"].partition("::")[0]] += row["own"] + row["children"]
        terminalreporter.write_sep("=", "seconds of a core")
        for file, seconds in [*files.most_common(SHOWN), ("in all", files.total())]:
            terminalreporter.write_line(f"{seconds:8.1f}  {file}")


def _row(test: str, when: str, spent: list[float], wall: float) -> dict[str, Any]:
    own, children = spent
    return {"test": test, "when": when, "own": own, "children": children, "wall": round(wall, 3)}


def _since(before: tuple[float, float]) -> list[float]:
    return [round(now - then, 3) for now, then in zip(_used(), before, strict=True)]


def _used() -> tuple[float, float]:
    own, children = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime, children.ru_utime + children.ru_stime
