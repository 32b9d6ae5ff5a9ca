"""A library without a package that it never uses here."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nodes.rag.adapters.hollow import hollow, unchecked


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of three files, of which one imports the others."""
    folder = tmp_path / "greedy_client" / "models"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("from greedy_client.models.thing import Thing")
    (folder / "__init__.py").write_text("")
    (folder / "thing.py").write_text("class Thing:\n    real = True")
    monkeypatch.syspath_prepend(tmp_path)
    return "greedy_client"


def forget(package: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def test_within_the_block_it_has_every_name_and_afterwards_it_is_itself(package: str) -> None:
    with hollow(package):
        thing = importlib.import_module(f"{package}.models.thing")
        assert isinstance(thing.Thing, type)
        assert thing.Thing is thing.Thing
        assert not hasattr(thing.Thing, "real")
        assert not hasattr(thing, "__path_of_nothing__")
    assert importlib.import_module(package).Thing.real
    forget(package)


def test_where_it_is_loaded_already_it_stays_as_it_is(package: str) -> None:
    loaded = importlib.import_module(package)
    with hollow(package):
        assert importlib.import_module(package) is loaded
    forget(package)


class _Importing:
    """Stands among the modules; whoever looks at it has another one imported, as another thread may do."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        sys.modules.setdefault("imported_meanwhile", ModuleType("imported_meanwhile"))
        return object


def test_what_is_imported_meanwhile_does_not_disturb_its_end(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "importing", _Importing())
    try:
        with hollow(package):
            importlib.import_module(package)
        assert "imported_meanwhile" in sys.modules
        assert package not in sys.modules
    finally:
        sys.modules.pop("imported_meanwhile", None)
        forget(package)


@pytest.mark.slow
def test_lancedb_works_without_its_client_for_catalogues(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
from pathlib import Path
from nodes.rag.adapters.lance import LanceFolder
async def main():
    folder = LanceFolder(Path({str(tmp_path)!r}) / "index")
    connection = await folder.connection()
    table = await connection.create_table("t", [{{"a": 1}}])
    print(await table.count_rows(), await connection.table_names())
    folder.close()
asyncio.run(main())
print([name for name in sys.modules if name.startswith("lance_namespace_urllib3_client.")])
from lance_namespace_urllib3_client.models import json_arrow_field
print(json_arrow_field.JsonArrowField.model_fields.keys() >= {{"name"}})
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.stdout.splitlines() == ["1 ['t']", "[]", "True"], told.stderr


def test_what_is_made_meanwhile_is_not_compared_and_then_all_is_as_before() -> None:
    overrides = pytest.importorskip("overrides")
    before = overrides.override, overrides.EnforceOverrides

    def method() -> None: ...

    with unchecked():
        assert overrides.override(method) is method
        assert overrides.EnforceOverrides is object
    assert (overrides.override, overrides.EnforceOverrides) == before


def test_where_nothing_compares_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "overrides", None)
    with unchecked():
        assert sys.modules["overrides"] is None
