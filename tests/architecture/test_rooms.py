"""The picture of the rooms in ARCHITECTURE.md is the one that the linter holds."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "tool"
]["importlinter"]["contracts"]
LAYERS = {
    contract["containers"][0]: [set(re.split(r"\s*[|:]\s*", layer)) for layer in contract["layers"]]
    for contract in CONTRACTS
    if contract["type"] == "layers" and contract.get("containers") and contract.get("exhaustive")
}


def drawn(package: str) -> list[set[str]]:
    """The levels in the picture under "The rooms of <package>", from the top."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    picture = re.search(rf"^## The rooms of {package}\n.*?^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert picture, f"ARCHITECTURE.md has no picture of the rooms of {package}"
    # Two spaces end the names of a level; what it is for stands behind them.
    return [set(line.split("  ")[0].strip().split(" | ")) for line in picture[1].splitlines()]


@pytest.mark.parametrize("package", ["core", "graph"])
def test_the_picture_of_a_package_is_the_contract(package: str) -> None:
    assert drawn(package) == LAYERS[package]


def test_the_levels_inside_of_runs_are_told_in_their_order() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    told = re.search(r"^Inside `graph/runs`, from the top: (.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    assert told
    # What stands in brackets says what a file is for.
    levels = [set(re.findall(r"`(\w+)`", level)) for level in re.sub(r"\(.*?\)", "", told[1]).split(";")]
    assert levels == LAYERS["graph.runs"]


@pytest.mark.parametrize("package", sorted(LAYERS))
def test_every_room_says_what_belongs_there(package: str) -> None:
    for room in set().union(*LAYERS[package]):
        text = importlib.import_module(f"{package}.{room}").__doc__ or ""
        assert len(text) > 20, f"{package}.{room} does not say what belongs there"


def test_no_circle_of_imports_is_allowed_in_graph() -> None:
    kept = [contract for contract in CONTRACTS if contract["type"] == "acyclic_siblings"]
    assert any("graph" in contract["ancestors"] for contract in kept)
    assert not any(contract.get("ignore_imports") for contract in kept)
