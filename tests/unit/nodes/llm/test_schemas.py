"""Schemas of tools, mended to what endpoints take."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from nodes.llm.profiles import SCHEMA_MENDS
from nodes.llm.schemas import ToolSchemas, mended

TOP = {"top_object", "top_combinator", "array_items"}


def one(schema: Any, *mends: str) -> Any:
    """The schema of a property, mended."""
    return mended({"type": "object", "properties": {"p": schema}}, mends)["properties"].get("p")


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (None, {"type": "object", "properties": {}}),
        ([], {"type": "object", "properties": {}}),
        ({"type": "array", "items": {}}, {"type": "object", "properties": {}}),
        ({"type": ["object", "null"], "properties": ["x"]}, {"type": "object", "properties": {}}),
        (
            {"properties": {"a": {}}, "required": ["a", "b", 5]},
            {"type": "object", "properties": {"a": {}}, "required": ["a"]},
        ),
        ({"properties": {"a": True}, "required": True}, {"type": "object", "properties": {"a": {}}}),
        (
            {"$ref": "#/$defs/X", "$defs": {"X": {"properties": {"a": {"type": "string"}}}}},
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "$defs": {"X": {"properties": {"a": {"type": "string"}}}},
            },
        ),
        (
            {
                "oneOf": [
                    {"properties": {"a": {}}, "required": ["a", "c"]},
                    {"$ref": "#/$defs/B"},
                    {"properties": 5, "required": ["c"]},
                ],
                "allOf": [{"properties": {"d": {}}, "required": ["d"]}, "odd"],
                "anyOf": True,
                "not": {},
                "properties": {"c": {}},
                "$defs": {"B": {"properties": {"b": {}}, "required": ["c"]}},
            },
            {
                "$defs": {"B": {"properties": {"b": {}}, "required": ["c"]}},
                "type": "object",
                "properties": {"b": {}, "a": {}, "d": {}, "c": {}},
                "required": ["d", "c"],
            },
        ),
    ],
)
def test_the_top_of_a_schema_becomes_a_plain_object(schema: Any, expected: Any) -> None:
    assert mended(schema, TOP) == expected


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "array"}, {"type": "array", "items": {}}),
        ({"type": ["array", "null"], "items": True}, {"type": ["array", "null"], "items": {}}),
        (
            {"type": "array", "items": [{"type": "string"}]},
            {"type": "array", "items": {"anyOf": [{"type": "string"}]}},
        ),
        ({"type": "array", "items": []}, {"type": "array", "items": {}}),
        ({"anyOf": [{"type": "array"}]}, {"anyOf": [{"type": "array", "items": {}}]}),
        ({"items": {"type": "array"}}, {"items": {"type": "array", "items": {}}}),
        ({"type": "string"}, {"type": "string"}),
    ],
)
def test_m5_6_an_array_without_items_gets_some_wherever_it_stands(schema: Any, expected: Any) -> None:
    assert one(schema, "array_items") == expected


@pytest.mark.parametrize(
    ("mend", "schema", "expected"),
    [
        ("typed_items", {"items": {}}, {"items": {"type": "string"}}),
        ("typed_items", {"items": {"anyOf": []}}, {"items": {"anyOf": []}}),
        ("no_meta", {"title": "T", "default": 1, "type": "string"}, {"type": "string"}),
        ("no_meta", {"properties": {"title": {}}}, {"properties": {"title": {}}}),
        ("no_unions", {"type": ["null", "integer"]}, {"type": "integer"}),
        ("no_unions", {"oneOf": [{}], "anyOf": [{"type": "string"}]}, {"anyOf": [{"type": "string"}, {}]}),
        ("no_additional", {"additionalProperties": False, "propertyNames": {}}, {}),
        ("no_bounds", {"const": 5, "multipleOf": 2, "minimum": 1}, {"minimum": 1, "enum": [5]}),
        ("string_enums", {"enum": [1, "a", None, 1.5]}, {"type": "string", "enum": ["1", "a", "1.5"]}),
        ("string_enums", {"enum": ["a"]}, {"enum": ["a"]}),
        ("no_formats", {"format": "uri"}, {}),
        ("no_formats", {"format": "date-time"}, {"format": "date-time"}),
        ("no_refs", {"$ref": "#/nowhere/x"}, {}),
        ("no_refs", {"$ref": "http://elsewhere/x"}, {}),
    ],
)
def test_each_mend_changes_what_it_names(mend: str, schema: Any, expected: Any) -> None:
    assert one(schema, mend) == expected


def test_references_are_replaced_and_circles_end() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"$ref": "#/$defs/node"}, "value": {"$ref": "#/$defs/a~1b"}},
    }
    schema = {
        "properties": {"p": {"$ref": "#/$defs/node"}},
        "$defs": {"node": node, "a/b": {"type": "string"}},
    }
    found = mended(schema, {"no_refs"})
    assert found["properties"]["p"]["properties"] == {"next": {"type": "object"}, "value": {"type": "string"}}
    assert "$defs" not in found


def test_references_that_multiply_do_not_grow_without_end() -> None:
    defs = {f"d{n}": {"properties": {k: {"$ref": f"#/$defs/d{n + 1}"} for k in "abcd"}} for n in range(30)}
    found = mended({"properties": {"p": {"$ref": "#/$defs/d0"}}, "$defs": defs}, {"no_refs"})
    assert len(orjson.dumps(found)) < 1_000_000


@pytest.mark.parametrize(
    "odd", [5, "x", [1], {"properties": {"a": 5}}, {"anyOf": 5, "oneOf": [5], "type": 5}, {"enum": 5}]
)
def test_no_schema_breaks_the_mending(odd: Any) -> None:
    for schema in (odd, {"properties": {"p": odd}}, {"items": odd, "type": "array"}):
        assert mended(schema, SCHEMA_MENDS)["type"] == "object"


def test_tools_are_mended_once_and_few_lists_of_them_are_kept() -> None:
    schemas = ToolSchemas(TOP)
    tools: list[dict[str, Any]] = [
        {"type": "function", "function": {"name": "a", "parameters": {"maximum": 2**70}}},
        {"type": "other"},
    ]
    found = schemas.encoded(tools)
    assert schemas.encoded(tools) is found
    assert orjson.loads(orjson.dumps(found))[0]["function"]["parameters"]["type"] == "object"
    for n in range(20):
        schemas.encoded([{"function": {"name": str(n)}}])
    assert schemas.encoded(tools) is not found
