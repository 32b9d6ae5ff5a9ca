"""The schemas for editors accept what the service accepts, and complain where it would."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types

from core.registry import discover, files_of, sections_of
from core.settings import Context, Places, inspect_book
from nodes.config import ConfigManager
from waystation.testing.process import ROOT

pytestmark = pytest.mark.slow

GOOD = {
    "waystation": [
        "",
        "$schema: schemas/waystation.schema.json",
        "server: {port: '${PORT:-8000}', public_url: '${URL}'}",
        "auth: {mode: [keys, oidc], oidc: {issuer: '${ISSUER}', audience: [a]}}",
        "auth: {mode: keys}",
        "telemetry: {traces: '${TRACES}', log_level: '${LEVEL}'}",
        "resilience: {targets: {'model:fast': {timeout_s: 5}}}",
    ],
    "models": [
        "models: {}",
        "{$schema: x, models: {a: {model_name: x, model_url: '${URL}', timeout_s: '${T}', api_key: k}}}",
    ],
    "servers": [
        "{}",
        "{$schema: x, mcpServers: {a: {command: python, args: [x]}}}",
        "{$schema: x, a: {command: [python, x], timeout_s: '${T}'}, clock: {enabled: false}}",
        "{a: {url: 'https://x/mcp', type: streamable_http}, b: {url: '${URL}', transport: sse}}",
        "{mcpServers: {command: python}}",
    ],
    "sources": [
        "{}",
        "{$schema: x, a: {path: docs}, b: {type: http, url: 'https://x', timeout: '${T}'}}",
        "sources: {a: {path: [x, y]}, b: {command: python}}",
        "sources: {path: x}",
    ],
}
BAD = {
    "waystation": ["server: {prot: 1}", "serve: {}", "server: {port: x}", "auth: {mode: maybe}"],
    "models": ["models: {a: {model_nam: x, model_url: y}}", "model: {}", "models: {a: {model_name: x}}"],
    "servers": ["{a: {urll: x}}", "{mcpServers: {a: {command: x}}, b: {}}", "{a: {url: 'ftp://x'}}"],
    "sources": ["{a: {pth: x}}", "sources: {a: {pth: x}}", "{a: {type: ftp}}", "{a: {type: http}}"],
}


@pytest.fixture(scope="module")
def schemas() -> dict[str, dict[str, Any]]:
    modules = discover()
    nowhere = Context(Places(ROOT / "config", ROOT / ".waystation"), {}, {})
    book, problems = inspect_book(sections_of(modules), files_of(modules), nowhere)
    assert not problems
    return ConfigManager(book, book.sections, book.files).schemas()


def findings(schema: dict[str, Any], text: str) -> list[str]:
    Draft202012Validator.check_schema(schema)
    return [error.message for error in Draft202012Validator(schema).iter_errors(yaml.safe_load(text) or {})]


@pytest.mark.parametrize(("part", "text"), [(part, text) for part, texts in GOOD.items() for text in texts])
def test_what_the_service_takes_an_editor_takes(
    schemas: dict[str, dict[str, Any]], part: str, text: str
) -> None:
    assert findings(schemas[part], text) == []


@pytest.mark.parametrize(("part", "text"), [(part, text) for part, texts in BAD.items() for text in texts])
def test_what_the_service_refuses_an_editor_marks(
    schemas: dict[str, dict[str, Any]], part: str, text: str
) -> None:
    assert findings(schemas[part], text)


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("waystation", "waystation.yaml"),
        ("models", "models.yaml"),
        ("servers", "mcp.json"),
        ("sources", "sources.yaml"),
    ],
)
def test_the_example_configuration_is_right_for_an_editor(
    schemas: dict[str, dict[str, Any]], part: str, name: str
) -> None:
    assert findings(schemas[part], (ROOT / "config" / name).read_text()) == []
