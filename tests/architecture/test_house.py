"""The rules of the house that no linter knows."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import WaystationError, known_errors
from core.events import Event
from core.registry import discover, loaded

ROOT = Path(__file__).parents[2]
HOUSE = ("waystation", "core", "graph", "nodes", "server", "tools")
LONGEST_FILE = 400
LONGEST_NODE = 80
MODULE_FILES = (
    "__init__.py",
    "adapters/__init__.py",
    "cli.py",
    "errors.py",
    "fake.py",
    "models.py",
    "module.py",
    "node.py",
    "ports.py",
    "provider.py",
    "settings.py",
)
MODULES = sorted(path.parent.name for path in (ROOT / "nodes").glob("*/module.py"))


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def error_classes() -> set[type[WaystationError]]:
    """Every error class, every module of ours imported."""
    for package in ("core", "nodes", "graph", "server"):
        root = importlib.import_module(package)
        for info in pkgutil.walk_packages(root.__path__, f"{package}."):
            # Migration scripts run inside Alembic, and __main__ would run.
            if ".migrations" not in info.name and not info.name.endswith("__main__"):
                importlib.import_module(info.name)
    found: set[type[WaystationError]] = set()
    queue: list[type[WaystationError]] = [WaystationError]
    while queue:
        cls = queue.pop()
        found.add(cls)
        queue.extend(cls.__subclasses__())
    return {cls for cls in found if cls.__module__.split(".")[0] in HOUSE}


def test_no_file_is_longer_than_a_head_can_hold() -> None:
    long = {
        str(p.relative_to(ROOT)): lines(p)
        for p in sources(*HOUSE, "tests", "bench")
        if lines(p) > LONGEST_FILE
    }
    assert long == {}


def test_a_step_of_the_graph_is_small() -> None:
    long = {p.parent.name: lines(p) for p in (ROOT / "nodes").glob("*/node.py") if lines(p) > LONGEST_NODE}
    assert long == {}


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_the_same_file_names(module: str) -> None:
    missing = [name for name in MODULE_FILES if not (ROOT / "nodes" / module / name).is_file()]
    assert missing == []


@pytest.mark.parametrize("module", [path.parent.name for path in (ROOT / "nodes").glob("*/events.py")])
def test_events_of_a_module_are_those_of_the_bus(module: str) -> None:
    events = importlib.import_module(f"nodes.{module}.events")
    own = [found for found in vars(events).values() if getattr(found, "__module__", "") == events.__name__]
    assert own
    assert all(issubclass(found, Event) for found in own)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_is_declared_in_the_same_words(name: str) -> None:
    module = next(module for module in discover() if module.name == name)
    assert isinstance(module.cli, str)
    assert isinstance(module.provider, str)
    assert module.service
    assert module.step
    provided = {factory.provides.type_hint for factory in loaded(module.provider)().factories}
    assert {loaded(module.service), loaded(module.step.run)} <= provided


def test_the_help_imports_no_service_of_a_module() -> None:
    asked = (
        "import sys; from server.cli.main import app, mount_modules; mount_modules(); "
        "app(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    seen = set(said.stdout.splitlines()[-1].split())
    for module in discover():
        if module.name in MODULES:
            assert module.service.partition(":")[0] not in seen
            assert f"nodes.{module.name}.cli" not in seen


def test_the_registry_finds_every_module_folder() -> None:
    assert sorted(module.name for module in discover()) == MODULES


def test_the_contracts_of_modules_hold_every_folder() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    of_modules = [c for c in told["contracts"] if ["nodes.*"] in (c.get("modules"), c.get("ancestors"))]
    assert [c["type"] for c in of_modules] == ["independence", "acyclic_siblings"]


@pytest.mark.parametrize("module", MODULES)
def test_public_names_are_there(module: str) -> None:
    package = importlib.import_module(f"nodes.{module}")
    assert package.__all__
    assert [name for name in package.__all__ if not hasattr(package, name)] == []


def test_every_error_code_has_one_class() -> None:
    owners: dict[str, list[str]] = defaultdict(list)
    for cls in error_classes():
        if "code" in vars(cls):
            owners[cls.code].append(f"{cls.__module__}.{cls.__name__}")
    assert {code: sorted(names) for code, names in owners.items() if len(names) > 1} == {}
    assert set(owners) <= set(known_errors())


def test_error_codes_and_titles_are_fit_for_people_and_machines() -> None:
    for cls in error_classes():
        assert re.fullmatch(r"[a-z][a-z0-9_]{2,40}", cls.code), cls
        assert cls.title, cls


def test_every_file_of_the_house_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sources(*HOUSE)
        if path.read_text(encoding="utf-8").strip() and not path.read_text(encoding="utf-8").startswith('"""')
    ]
    assert silent == []
