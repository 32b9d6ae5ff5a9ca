"""Requests find the bundled tools with the right arguments; questions on other things find none."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.llm.offline.arguments import Sentence, kind, read_arguments
from nodes.llm.offline.request import match_tool, tools_of
from tests.kit.bundled_tools import bundled_schemas


def tool(name: str, properties: dict[str, Any], *required: str, description: str = "") -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def read(parameters: dict[str, Any], sentence: Sentence) -> dict[str, Any]:
    (found,) = tools_of([{"function": {"name": "t", "parameters": parameters}}])
    return read_arguments(found, sentence).values


SALES = {"filename": "sales.csv"}
REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("What is 5 + 3?", "calculator_evaluate", {"expression": "5 + 3"}),
    ("divide 10 by 4", "calculator_evaluate", {"expression": "10 / 4"}),
    ("what time is it in Tokyo?", "clock_now", {"zone": "Asia/Tokyo"}),
    ("What time is it?", "clock_now", {}),
    ("what day is it today?", "clock_now", {}),
    ("what's the current date in New York", "clock_now", {"zone": "America/New_York"}),
    (
        "convert 15:00 from Berlin to New York",
        "clock_convert",
        {"time": "15:00", "from_zone": "Europe/Berlin", "to_zone": "America/New_York"},
    ),
    (
        "What is 3pm Tokyo time in London?",
        "clock_convert",
        {"time": "15:00", "from_zone": "Asia/Tokyo", "to_zone": "Europe/London"},
    ),
    (
        "how many days between 2024-01-01 and 2024-03-01?",
        "clock_difference",
        {"start": "2024-01-01", "end": "2024-03-01"},
    ),
    (
        "How long is it from 1 January 2026 until December 24, 2026?",
        "clock_difference",
        {"start": "2026-01-01", "end": "2026-12-24"},
    ),
    (
        "what is the total of amount by region in sales.csv?",
        "tables_aggregate",
        {**SALES, "column": "amount", "function": "sum", "by": "region"},
    ),
    (
        "What is the average price in sales.csv?",
        "tables_aggregate",
        {**SALES, "column": "price", "function": "mean"},
    ),
    (
        "highest amount by region in the file",
        "tables_aggregate",
        {**SALES, "column": "amount", "function": "max", "by": "region"},
    ),
    ("How many rows are in sales.csv?", "tables_describe", SALES),
    ("describe sales.csv", "tables_describe", SALES),
    ("show the first 5 rows of sales", "tables_head", {**SALES, "rows": 5}),
    (
        "rows of sales.csv where amount is greater than 100",
        "tables_filter",
        {**SALES, "column": "amount", "operator": ">", "value": "100"},
    ),
    (
        'which rows in sales.csv have region = "north"?',
        "tables_filter",
        {**SALES, "column": "region", "operator": "=", "value": "north"},
    ),
]


@pytest.mark.parametrize(("text", "name", "arguments"), REQUESTS)
def test_a_request_finds_its_tool(text: str, name: str, arguments: dict[str, Any]) -> None:
    match = match_tool(tools_of(bundled_schemas()), Sentence(text, ("sales.csv",)))
    assert match is not None
    assert (match.tool.name, match.arguments, match.missing) == (name, arguments, ())


@pytest.mark.parametrize(
    "text",
    [
        "How do I add a tool?",
        "What is a thread?",
        "What time limits does a turn have?",
        "How does the calculator work?",
        "What is the default time-out of a tool?",
        "Which tools ship with Waystation?",
        "What does the clock tool do?",
        "What is the maximum upload size?",
        "How do I convert my mcp.json?",
        "what happens when a file is uploaded?",
        "What is the difference between a run and a turn?",
        "Which file holds the models?",
        "What is the current version?",
        "What is the table of events?",
        "tell me a joke",
        "the",
        "",
    ],
)
def test_a_question_on_something_else_finds_no_tool(text: str) -> None:
    assert match_tool(tools_of(bundled_schemas()), Sentence(text, ("sales.csv",))) is None


def test_a_missing_argument_is_named() -> None:
    match = match_tool(
        tools_of(bundled_schemas()), Sentence("total of amount by region in other.csv", ("a.csv",))
    )
    assert match is not None
    assert match.missing == ("filename",)


def test_without_an_expression_tool_the_operation_finds_one_of_two_numbers() -> None:
    numbers = {"a": {"type": "number"}, "b": {"type": "number"}}
    tools = tools_of([tool("x_add", numbers, "a", "b"), tool("x_divide", numbers, "a", "b")])
    match = match_tool(tools, Sentence("divide 7.5 by 3"))
    assert match is not None
    assert (match.tool.name, match.arguments) == ("x_divide", {"a": 7.5, "b": 3})
    assert match_tool(tools, Sentence("What is 2 * 3?")) is None
    assert match_tool(tools, Sentence("What is 1 + 2 + 3?")) is None


def test_free_text_stands_behind_the_verb() -> None:
    tools = tools_of(
        [tool("web_search", {"query": {"type": "string"}}, "query", description="Search the web")]
    )
    match = match_tool(tools, Sentence("search for red pandas"))
    assert match is not None
    assert match.arguments == {"query": "red pandas"}


def test_arguments_are_read_by_type_and_format() -> None:
    parameters = {
        "properties": {
            "numbers": {"type": "array", "items": {"type": "number"}},
            "due": {"type": "string", "format": "date"},
            "loud": {"type": "boolean"},
            "title": {"type": ["string", "null"]},
            "colour": {"anyOf": [{"enum": ["red", "green"]}, {"type": "null"}]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "extra": {"type": "object"},
            "odd": "no schema",
        }
    }
    text = 'Please be loud and green: 1, 2.5 and "My title" with "tag" by 2026-02-30 or 3 March 2026'
    values = read(parameters, Sentence(text))
    assert values == {
        "numbers": [1, 2.5],
        "due": "2026-03-03",
        "loud": True,
        "title": "My title",
        "colour": "green",
        "tags": ["tag"],
    }


def test_choices_may_stand_in_the_description() -> None:
    parameters = {"properties": {"function": {"type": "string", "description": "one of sum, mean, max"}}}
    assert read(parameters, Sentence("the average")) == {"function": "mean"}


def test_an_operator_is_spelled_as_the_schema_spells_it() -> None:
    parameters = {"properties": {"op": {"type": "string", "enum": ["eq", "gte", "lt"]}}}
    assert read(parameters, Sentence("amount at least 5")) == {"op": "gte"}
    assert read(parameters, Sentence("amount contains x")) == {}


def test_the_kind_follows_from_name_format_and_description() -> None:
    assert kind("tz", {"type": "string"}) == "zone"
    assert kind("x", {"type": "string", "format": "date-time"}) == "date-time"
    assert kind("x", {"type": "string", "description": "The name of a file"}) == "file"
    assert kind("x", {"type": "object"}) == "other"


def test_what_is_no_function_schema_is_left_out() -> None:
    schemas: list[dict[str, Any]] = [{}, {"function": 1}, {"function": {"name": ""}}, tool("a", {})]
    assert [t.name for t in tools_of(schemas)] == ["a"]


def test_a_long_text_is_no_request() -> None:
    assert match_tool(tools_of(bundled_schemas()), Sentence("What is 5 + 3? " + "1," * 500)) is None
