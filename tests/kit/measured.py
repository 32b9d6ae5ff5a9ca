"""Coverage is measured where the floors need it: following every line takes a third of what the tests take.

Not while tests are collected. Once where a test runs on both databases, and not where files are read rather
than run, nor where what runs is a process of its own, or runs in the tests beside it as well.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Generator
from pathlib import Path
from types import ModuleType
from typing import Protocol

import pytest
from coverage import Coverage

_TESTS = Path(__file__).parents[1]
_OURS = ("core", "nodes", "graph", "server", "waystation", "tools")
_READING = ("architecture", "docs", "growth")
_BESIDE = ("bench", "campaigns", "foreign")
# Migrations run inside Alembic, __main__ would run, and the kit for tests is not measured.
_LEFT_OUT = (".migrations", ".__main__", "waystation.testing")


def on_postgresql(item: pytest.Item) -> bool:
    """True for the one of a test's variants that runs on PostgreSQL."""
    given = getattr(getattr(item, "callspec", None), "params", {}).values()
    return any(value == "postgresql" for value in given if isinstance(value, str))


def is_measured(item: pytest.Item) -> bool:
    folder = item.path.relative_to(_TESTS).parts[0]
    return folder not in (*_READING, *_BESIDE) and not on_postgresql(item)


class Follows(Protocol):
    """What measures: `Coverage`, once it has started."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Measured:
    """Lets `coverage` follow what a measured test runs, its setup and teardown too."""

    def __init__(self, coverage: Follows) -> None:
        self._coverage = coverage
        self._follows = True

    def only_if(self, wanted: bool) -> None:
        # Between measured tests it goes on: a thread that was there before a pause is not followed behind it.
        if wanted != self._follows:
            self._follows = wanted
            (self._coverage.start if wanted else self._coverage.stop)()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self.only_if(is_measured(item))
        return (yield)


def pytest_collection(session: pytest.Session) -> None:
    """Import all of ours while coverage follows, in one of the processes: what is defined there counts."""
    coverage = Coverage.current()
    worker = getattr(session.config, "workerinput", {}).get("workerid")
    if coverage is None or (worker is None and session.config.getoption("numprocesses", None)):
        return
    if worker in (None, "gw0"):
        for package in map(importlib.import_module, _OURS):
            _import_all_of(package)
    measured = Measured(coverage)
    measured.only_if(False)
    session.config.pluginmanager.register(measured)


def _import_all_of(package: ModuleType) -> None:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not any(part in found.name for part in _LEFT_OUT):
            importlib.import_module(found.name)
