"""Coverage is measured where the floors need it: following every line takes a third of what the tests take.

Once where a test runs on both databases, and not where files are read rather than run.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Generator
from pathlib import Path

import pytest
from coverage import Coverage

_TESTS = Path(__file__).parents[1]
_OURS = ("core", "nodes", "graph", "server")
_READING = ("architecture", "docs", "growth")


def on_postgresql(item: pytest.Item) -> bool:
    """True for the one of a test's variants that runs on PostgreSQL."""
    given = getattr(getattr(item, "callspec", None), "params", {}).values()
    return any(value == "postgresql" for value in given if isinstance(value, str))


def is_measured(item: pytest.Item) -> bool:
    return item.path.relative_to(_TESTS).parts[0] not in _READING and not on_postgresql(item)


def pytest_collection_finish() -> None:
    """Import now what would be imported in a test that is not measured: its definitions would not count."""
    if Coverage.current() is None:
        return
    for package in map(importlib.import_module, _OURS):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            # Migrations run inside Alembic, and __main__ would run.
            if ".migrations" not in found.name and not found.name.endswith("__main__"):
                importlib.import_module(found.name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Setup and teardown too."""
    coverage = Coverage.current()
    if coverage is None or is_measured(item):
        return (yield)
    coverage.stop()
    try:
        return (yield)
    finally:
        coverage.start()
