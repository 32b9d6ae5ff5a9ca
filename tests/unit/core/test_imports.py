"""Packages of others are imported in part, and are whole for whoever asks them for something."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
from pydantic import BaseModel

from core import imports

WHOLE = """
from waits.part import Part
from waits import told
told.times.append(__name__)
answer = 42
"""


@pytest.fixture
def waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that is imported in part, `waits`, with two parts."""
    folder = tmp_path / "waits"
    folder.mkdir()
    (folder / "__init__.py").write_text(WHOLE)
    (folder / "part.py").write_text("class Part: ...\n")
    (folder / "told.py").write_text("times = []\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(imports, "WAITING", frozenset({"waits"}))
    yield folder
    imports._finder.done.discard("waits")
    for name in [name for name in sys.modules if name.partition(".")[0] == "waits"]:
        del sys.modules[name]


def _times() -> list[str]:
    told: list[str] = importlib.import_module("waits.told").times
    return told


@pytest.mark.usefixtures("waits")
def test_a_part_is_imported_without_the_file_of_its_package() -> None:
    importlib.import_module("waits.part")
    assert _times() == []


@pytest.mark.usefixtures("waits")
def test_a_part_that_is_asked_of_the_package_leaves_its_file_alone() -> None:
    package = importlib.import_module("waits")
    assert package.part is sys.modules["waits.part"]
    assert _times() == []


@pytest.mark.usefixtures("waits")
def test_what_is_asked_of_the_package_is_what_its_file_says() -> None:
    part = importlib.import_module("waits.part")
    package = importlib.import_module("waits")
    assert package.answer == 42
    assert package.Part is part.Part
    assert _times() == ["waits"]


@pytest.mark.usefixtures("waits")
def test_parts_from_before_are_parts_of_the_whole_package() -> None:
    part = importlib.import_module("waits.part")
    before = importlib.import_module("waits")
    assert before.answer == 42
    after = importlib.import_module("waits")
    assert after.part is before.part is part
    assert type(after) is ModuleType
    assert set(dir(after)) == set(dir(before)) >= {"Part", "answer", "part"}
    with pytest.raises(AttributeError, match="nothing"):
        _ = before.nothing


@pytest.mark.usefixtures("waits")
def test_what_is_set_on_a_waiting_package_is_set_for_everybody() -> None:
    before: Any = importlib.import_module("waits")
    before.answer = 43
    before.more = "new"
    after: Any = importlib.import_module("waits")
    assert (after.answer, after.more, before.answer) == (43, "new", 43)
    after.answer = 44
    assert before.answer == 44
    del before.more
    assert not hasattr(after, "more")
    assert not hasattr(before, "more")
    assert _times() == ["waits"]


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("name", ["answer", "Part", "part"])
def test_a_patch_of_a_waiting_package_holds_for_everybody_and_is_taken_back(name: str) -> None:
    before = importlib.import_module("waits")
    with patch(f"waits.{name}", "another"):
        assert {getattr(importlib.import_module("waits"), name), getattr(before, name)} == {"another"}
    after = importlib.import_module("waits")
    assert getattr(after, name) is getattr(before, name) != "another"


@pytest.mark.usefixtures("waits")
def test_threads_that_ask_at_once_have_the_file_executed_once() -> None:
    package = importlib.import_module("waits")
    together = threading.Barrier(8)

    def ask(_: int) -> object:
        together.wait(10)
        return package.answer

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [42] * 8
    assert _times() == ["waits"]


def test_a_file_that_fails_says_so_to_everyone_who_asks(waits: Path) -> None:
    (waits / "__init__.py").write_text("import waits.nothing_of_this_name\n")
    package = importlib.import_module("waits")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="nothing_of_this_name"):
            _ = package.answer


@pytest.mark.usefixtures("waits")
def test_to_those_who_look_for_its_files_it_is_the_package_itself(waits: Path) -> None:
    package = importlib.import_module("waits")
    assert package.__spec__ is not None
    assert package.__file__ == str(waits / "__init__.py")
    assert importlib.import_module("importlib.resources").files("waits").joinpath("told.py").is_file()
    assert _times() == []


@pytest.mark.parametrize("package", sorted(imports.WAITING))
def test_no_name_of_a_waiting_package_is_that_of_a_part_too(package: str) -> None:
    """Whoever asks for it gets the part, and would miss what the package's file has under that name."""
    imports._finder.done.add(package)
    whole = importlib.import_module(package)
    parts = {part.name for part in pkgutil.iter_modules(whole.__path__)}
    hidden = [name for name in parts & set(vars(whole)) if not isinstance(vars(whole)[name], ModuleType)]
    assert hidden == []


def test_models_of_a_deferred_file_are_built_when_they_are_used_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deferred_models.py").write_text(
        "from pydantic import BaseModel\nclass Point(BaseModel):\n    x: int\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(imports, "DEFERRED", frozenset({"deferred_models"}))
    before = BaseModel.model_config
    models = importlib.import_module("deferred_models")
    try:
        assert BaseModel.model_config is before
        assert not models.Point.__pydantic_complete__
        assert models.Point.model_validate({"x": "1"}).x == 1
        assert models.Point.__pydantic_complete__
    finally:
        del sys.modules["deferred_models"]


def test_a_deferred_file_that_fails_leaves_pydantic_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deferred_failure.py").write_text("raise ImportError('no such thing')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(imports, "DEFERRED", frozenset({"deferred_failure"}))
    before = BaseModel.model_config
    with pytest.raises(ImportError, match="no such thing"):
        importlib.import_module("deferred_failure")
    assert BaseModel.model_config is before


TAKES = """
import importlib, threading
try:
    import richly
except ImportError as error:
    richly, why = None, str(error)
beside = []
other = threading.Thread(target=lambda: beside.append(importlib.import_module("richly").colour))
other.start()
other.join()
"""


def test_a_package_that_is_hidden_from_another_is_there_for_everybody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "takes.py").write_text(TAKES)
    (tmp_path / "richly.py").write_text("colour = 'red'")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(imports, "WITHOUT", {"takes": frozenset({"richly"})})
    try:
        takes = importlib.import_module("takes")
        assert (takes.richly, takes.why, takes.beside) == (None, "No module named 'richly'", ["red"])
        # Who has it already keeps it.
        assert importlib.reload(takes).richly.colour == "red"
    finally:
        sys.modules.pop("takes", None)
        sys.modules.pop("richly", None)


def test_who_has_a_package_in_part_finds_the_rest_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "richly").mkdir()
    (tmp_path / "richly" / "__init__.py").write_text("")
    (tmp_path / "richly" / "part.py").write_text("colour = 'red'")
    (tmp_path / "takes.py").write_text("import richly\nfrom richly.part import colour\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(imports, "WITHOUT", {"takes": frozenset({"richly"})})
    try:
        importlib.import_module("richly")
        assert importlib.import_module("takes").colour == "red"
    finally:
        for name in ("takes", "richly.part", "richly"):
            sys.modules.pop(name, None)


class _Agent(MetaPathFinder, Loader):
    """Hears of an import, as agents do that watch a service: others find the file for it."""

    def __init__(self, name: str) -> None:
        self.name, self.heard, self._asks = name, list[str](), False

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        if fullname != self.name or self._asks:
            return None
        self._asks = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._asks = False
        assert spec is not None
        assert spec.loader is not None
        self._loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self.heard.append(module.__name__)


@pytest.mark.parametrize("how", ["WAITING", "DEFERRED", "WITHOUT"])
@pytest.mark.parametrize("first", [True, False])
def test_a_finder_of_somebody_else_hears_of_what_is_imported_in_our_way_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, first: bool
) -> None:
    (tmp_path / "watched").mkdir()
    (tmp_path / "watched" / "__init__.py").write_text("answer = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(imports, how, {"watched": frozenset[str]()})
    agent, place = _Agent("watched"), sys.meta_path.index(imports._finder)
    finders = [agent, imports._finder] if first else [imports._finder, agent]
    monkeypatch.setattr(sys, "meta_path", [*finders, *sys.meta_path[place + 1 :]])
    try:
        assert importlib.import_module("watched").answer == 42
        assert set(agent.heard) == {"watched"}
    finally:
        imports._finder.done.discard("watched")
        sys.modules.pop("watched", None)


def test_to_watch_twice_is_to_watch_once() -> None:
    imports.watch()
    assert sys.meta_path.count(imports._finder) == 1
