"""Whatever stands in a file or variable, reading it gives values or problems, never another error."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.settings import ConfigFolder
from tests.unit.core.settings.shapes import SECTIONS, SERVERS, SOURCES

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KEYS = st.text(max_size=6) | st.sampled_from(
    [
        "shop",
        "front_door",
        "host",
        "port",
        "tags",
        "limits",
        "type",
        "path",
        "command",
        "env",
        "mcpServers",
        "enabled",
    ]
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
YAML_LIKE = st.text(alphabet=st.sampled_from(list("ab:-[]{}&*!<>|?'\"#%@\n\t ,01.")), max_size=80)
VALID: dict[str, Any] = {
    "shop": {"host": "h", "port": 1, "tags": ["a"], "limits": {"a": 1}, "colour": "red"},
    "front_door": {"width": 5},
}


def read(files: dict[str, bytes], environ: dict[str, str] | None = None) -> list[str]:
    """Problems as lines; anything that is raised fails the test."""
    with tempfile.TemporaryDirectory() as root:
        folder = ConfigFolder(Path(root), SECTIONS, (SOURCES, SERVERS))
        folder.environ = environ or {}
        for name, data in files.items():
            (folder.places.config_dir / name).write_bytes(data)
        problems = folder.problems()
    assert all("\n" not in problem and root not in problem for problem in problems)
    return problems


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda t: t.encode("utf-8", "replace")))
def test_any_bytes(data: bytes) -> None:
    read({"waystation.yaml": data, "sources.yaml": data, "mcp.json": data})


@settings(max_examples=100, deadline=None)
@given(YAML_LIKE)
def test_any_text_that_looks_like_yaml(text: str) -> None:
    read({"waystation.yaml": text.encode(), "sources.yaml": text.encode(), "mcp.json": text.encode()})


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=4))
def test_any_tree(tree: dict[str, Any]) -> None:
    as_json = json.dumps(tree).encode()
    as_yaml = yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace")
    read({"waystation.yaml": as_yaml, "sources.yaml": as_json, "mcp.json": as_json})


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([("shop",), ("shop", "port"), ("shop", "limits"), ("front_door", "width")]), KEYS, TREES
)
def test_any_edit_of_a_key(path: tuple[str, ...], name: str, value: Any) -> None:
    data = json.loads(json.dumps(VALID))
    spot = data
    for part in path[:-1]:
        spot = spot[part]
    spot[name] = spot.pop(path[-1])
    spot[path[-1]] = value
    read({"waystation.yaml": json.dumps(data).encode()})


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(
        ["SHOP__PORT", "SHOP__TAGS", "SHOP__LIMITS", "SHOP__LIMITS__A", "SHOP__COLOUR", "SHOP__A__B__C"]
    ),
    st.text(max_size=20) | TREES.map(json.dumps),
)
def test_any_variable(name: str, text: str) -> None:
    read({}, {f"WAYSTATION_{name}": text})
