"""The recipes of CONTRIBUTING.md name what is there, and what a recipe asks for in two places is in both."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest

from nodes.file_storage.provider import STORES
from nodes.file_storage.settings import FileStorageSettings
from nodes.llm.provider import CLIENTS
from nodes.llm.settings import Client

ROOT = Path(__file__).parents[2]
RECIPES = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## Recipes")[2]
TOPS = ("core", "docs", "graph", "nodes", "server", "tests", "tools", "waystation")
FILES = sorted(
    {path for path in re.findall(r"`([\w./-]+)`", RECIPES) if "/" in path and path.split("/")[0] in TOPS}
)
# "`_SIGNS` of `nodes/llm/verdict.py`": what has to stand in which file.
NAMED = re.findall(r"`(\w+)`\s+(?:of|in)\s+`([\w./-]+\.py)`", RECIPES)
# A page tells of folders that whoever follows it makes.
MADE = {"tests/unit/nodes/NAME"}


@pytest.mark.parametrize("path", FILES)
def test_a_file_of_a_recipe_is_there(path: str) -> None:
    assert path in MADE or (ROOT / path).exists(), f"CONTRIBUTING.md names {path}; where is it now?"


@pytest.mark.parametrize(("name", "path"), NAMED)
def test_a_name_of_a_recipe_stands_in_its_file(name: str, path: str) -> None:
    [file] = [found for found in (ROOT / path, *ROOT.glob(f"*/*/{path}")) if found.is_file()]
    assert re.search(rf"\b{name}\b", file.read_text("utf-8")), (
        f"CONTRIBUTING.md: there is no {name} in {path}"
    )


@pytest.mark.parametrize(
    ("words", "table"),
    [
        (get_args(Client), CLIENTS.keys() - {"offline", "provider"}),
        (get_args(FileStorageSettings.model_fields["backend"].annotation), STORES.keys()),
    ],
    ids=["the clients of models", "the stores of files"],
)
def test_a_word_of_the_settings_stands_for_something(words: tuple[Any, ...], table: set[str]) -> None:
    assert set(words) == set(table), "a word of settings.py and the table of provider.py belong together"


def test_a_store_that_is_no_folder_of_this_machine_is_not_taken_for_one() -> None:
    words = get_args(FileStorageSettings.model_fields["backend"].annotation)
    taken = [word for word in words if not FileStorageSettings.model_construct(backend=word).elsewhere]
    assert taken == ["local"], "its health, its backup and its replicas would be those of a folder"


def test_the_page_of_clients_has_the_versions_that_the_tests_run() -> None:
    environment = ROOT / "tests" / "clients" / "environment" / "package.json"
    versions = json.loads(environment.read_text("utf-8"))["dependencies"]
    rows = [
        line for line in (ROOT / "docs" / "clients.md").read_text("utf-8").splitlines() if line[0:1] == "|"
    ]
    for package, version in versions.items():
        short = ".".join(version.rpartition("@")[2].split(".")[:2])
        about = [row for row in rows if f"`{package}`" in row]
        assert not about or any(short in row for row in about), f"{package} {version} is run"
    assert any("`@ag-ui/client`" in row for row in rows)


def test_the_extra_for_tests_brings_what_the_kit_imports() -> None:
    """Its fixtures import PostgreSQL's driver, whichever of them a test asks for."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert set(extras["postgres"]) < set(extras["testing"])
