"""What reads a stranger's text takes no more than the text: each at its size and at four times that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from core.cursor import place_of
from core.errors import WaystationError
from core.identity.authenticator import folded
from core.observability import extracted
from core.observability.redaction import clean
from core.settings.problems import redacted
from core.shapes import mismatch
from graph.runs.lease import title_from
from graph.threads.history.export import fenced
from graph.threads.history.forms import Lines
from nodes.file_storage.delivery import disposition, parse_range
from nodes.file_storage.naming import clean_name, media_type_of, owner_folder
from nodes.llm.offline.model import corrected, number_in, reply, state
from nodes.llm.offline.quoting import best_quotes
from nodes.llm.pieces import Calls
from nodes.llm.prompt import Passage, digest, parse, render
from nodes.mcp_tools.adapters.messages import LineCutter
from server.middleware.edge import check_json, nesting, request_id
from server.requests import idempotency_key, last_event_id
from tests.growth.shapes import MOST_POWER, growth
from tools.tables.server import number

Run = Callable[[str], Any]

UNITS = [
    *(
        "a",
        "A",
        "1",
        " ",
        "\n",
        "\t",
        "é",
        "字",
        "。",
        "\u0301",
        "\u200b",
        "_",
        "-",
        ".",
        ",",
        "/",
        "\\",
        "%",
    ),
    *('"', "'", "“", "[", "]", "(", ")", "{", "}", "<", "&", "|", "#", "`", "=", ":", "?", "!", "*", "+"),
    *(
        "a ",
        "a. ",
        "A. ",
        "e.g. ",
        "1,",
        "1.",
        "1 ",
        "[1]",
        "[1] ",
        "[1](",
        "](",
        "# ",
        "- ",
        "```\n",
        "\r\n",
    ),
    *('\\"', '"a', "://", "a://b?", "a://b:c@", "token=", "key: ", "sk-", "eyJa.", "../", "%2e", "aA", "__"),
    *("Authorization: ", "-----BEGIN PRIVATE KEY-----", "\n\n", '{"a":', "[{", "--- ", "Asked: ", "what is "),
]
# Before it, so that what looks for a beginning has found one.
LEADS = ["", "[1] "]


def _filled(lead: str, unit: str, size: int) -> str:
    return lead + unit * (size // len(unit))


def _told(run: Run) -> Run:
    """Refusing is a way to read, too."""

    def work(text: str) -> None:
        with suppress(WaystationError, ValueError):
            run(text)

    return work


def _cut(text: str) -> None:
    cutter, data = LineCutter(1 << 20), text.encode()
    for start in range(0, len(data), 1000):
        for _ in cutter.feed(data[start : start + 1000]):
            pass


def _imported(text: str) -> None:
    async def read() -> None:
        async def chunks() -> AsyncIterator[bytes]:
            data = text.encode()
            for start in range(0, len(data), 1000):
                yield data[start : start + 1000]

        lines = Lines(chunks())
        while True:
            await lines.next()

    asyncio.run(read())


def _documents(text: str) -> list[dict[str, Any]]:
    return [{"n": 1, "title": text[:100], "text": text}]


_CALL: dict[str, Any] = {"id": "c", "name": "table", "args": {"column": "amounts"}}
_TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "table",
            "description": "Total of a column",
            "parameters": {
                "properties": {
                    "filename": {"type": "string"},
                    "column": {"type": "string"},
                    "value": {"type": "number"},
                    "since": {"type": "string", "format": "date"},
                    "zone": {"type": "string"},
                    "function": {"type": "string", "enum": ["sum", "mean"]},
                },
                "required": ["column"],
            },
        },
    }
]
FUNCTIONS: dict[str, Run] = {
    "nesting of JSON": lambda text: nesting(text.encode(), stop=0),
    "check of JSON": lambda text: check_json(text.encode(), depth=64),
    "a log line": clean,
    "a problem of the settings": redacted,
    "a cursor": lambda text: place_of("thread", f"c.{text}"),
    "Last-Event-ID": last_event_id,
    "Idempotency-Key": idempotency_key,
    "X-Request-ID": request_id,
    "traceparent": lambda text: extracted({"traceparent": text}),
    "a title": title_from,
    "a block of code": fenced,
    "an import": _imported,
    "lines of a tool server": _cut,
    "the name of a file": clean_name,
    "the folder of an owner": owner_folder,
    "a media type": lambda text: media_type_of("a", text),
    "a download's name": disposition,
    "a range": lambda text: parse_range(f"bytes={text}", 10),
    "quotes": lambda text: best_quotes("what is the fee", [Passage(1, "fee", text)]),
    "a prompt": lambda text: parse(render(text, _documents(text), [{"name": text}])),
    "notes": lambda text: digest(text[:2000], [HumanMessage(text), AIMessage(text)]),
    "a question to the offline model": lambda text: reply([HumanMessage(text)], _TOOLS),
    "what the offline model is told": lambda text: reply([SystemMessage(text), HumanMessage("fee")], _TOOLS),
    "a result": lambda text: state("tool", {"expression": text[:100]}, text, failed=False),
    "an error of a tool": lambda text: corrected({"column": "amounts"}, text),
    "the answer to a tool": lambda text: reply(
        [HumanMessage("sum"), AIMessage("", tool_calls=[_CALL]), ToolMessage(text, tool_call_id="c")], _TOOLS
    ),
    "a number in a table": number,
}
SIZE = 2048


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_reader_takes_no_more_than_its_text(name: str) -> None:
    work = _told(FUNCTIONS[name])
    for unit in UNITS:
        for lead in LEADS:
            found = growth(work, partial(_filled, lead, unit), SIZE)
            assert found <= MOST_POWER, f"the work grows with the power {found:.1f} of {lead!r} {unit!r}…"


@pytest.mark.parametrize("indexed", [True, False])
def test_many_calls_in_one_answer_are_collected_in_one_pass(indexed: bool) -> None:
    def work(every: list[Mapping[str, Any]]) -> None:
        calls = Calls()
        calls.add(every)
        for part in every:
            calls.add([part])

    def parts(count: int) -> list[Mapping[str, Any]]:
        return [
            {"index": n if indexed else None, "name": "t", "id": f"c{n}", "args": "{}"} for n in range(count)
        ]

    assert growth(work, parts, 2000) <= MOST_POWER


def test_many_headers_of_one_name_are_joined_in_one_pass() -> None:
    assert growth(folded, lambda count: [(b"x", b"y" * 10)] * count, 4000) <= MOST_POWER


def test_a_long_list_as_a_result_is_read_in_one_pass() -> None:
    assert growth(number_in, lambda count: f"[{','.join('1' for _ in range(count))}]", 4000) <= MOST_POWER


@pytest.mark.parametrize("lead", [b'"', b'"' + b"[" * 70, b"[" * 70])
@pytest.mark.parametrize(
    "unit", [b'\\"', b'"', b"\\", b"[", b"[],", b'"",', b'"[",', b'[{"a":1}],', b'["a\\']
)
def test_g1_1_a_body_is_looked_at_once_whatever_its_shape(lead: bytes, unit: bytes) -> None:
    def body(size: int) -> bytes:
        return lead + unit * (size // len(unit))

    assert growth(lambda body: nesting(body, stop=64), body, 1 << 16) <= MOST_POWER


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"pattern": "^(a+)+$"}, "a"),
        ({"pattern": "^(a|a)*$"}, "a"),
        ({"pattern": r"(\w+\s?)+!"}, "a "),
        ({"pattern": "(?=(a+)+$)b"}, "a"),
    ],
)
def test_a_pattern_of_a_tool_server_keeps_nobody_waiting(schema: dict[str, Any], text: str) -> None:
    def work(given: str) -> None:
        mismatch({"q": given}, {"properties": {"q": {"type": "string", **schema}}})

    assert growth(work, lambda size: text * (size // len(text)) + "?", SIZE) <= MOST_POWER


@pytest.mark.parametrize("keyword", ["patternProperties", "additionalProperties"])
def test_names_told_by_a_pattern_are_left_to_the_server(keyword: str) -> None:
    schema = {"patternProperties": {"^(a+)+$": {"type": "string"}}, keyword: {"^(a+)+$": {"type": "integer"}}}
    assert mismatch({"a" * 40 + "!": 1}, schema) == ("", "")


def test_patterns_that_both_engines_know_are_judged() -> None:
    schema = {"properties": {"day": {"type": "string", "pattern": r"^\d{4}-\d{2}$"}}}
    assert mismatch({"day": "2026-11"}, schema) == ("", "")
    place, why = mismatch({"day": "soon"}, schema)
    assert place == "day"
    assert "does not match" in why
    # This one only Python's engine knows: the server shall judge.
    assert mismatch({"day": "b"}, {"properties": {"day": {"pattern": "(?<=a)b"}}}) == ("", "")


def test_items_are_told_apart_in_one_pass() -> None:
    schema = {"properties": {"l": {"type": "array", "uniqueItems": True}}}

    def items(count: int) -> dict[str, Any]:
        return {"l": [{"x": n} for n in range(count)]}

    # So many that neither fits into a cache: one that does looks as if the other took more than a pass.
    assert growth(lambda given: mismatch(given, schema), items, 16_000) <= MOST_POWER
    assert mismatch(items(32_000), schema) == ("", "")
    assert mismatch({"l": [{"a": 1, "b": 2}, {"b": 2, "a": 1}]}, schema)[0] == "l"
    assert mismatch({"l": [1, True, "1"]}, schema) == ("", "")


def test_a_property_may_have_the_name_of_a_keyword() -> None:
    schema = {"properties": {"patternProperties": {"type": "string"}}, "additionalProperties": False}
    assert mismatch({"patternProperties": 1}, schema)[0] == "patternProperties"
    assert mismatch({"patternProperties": "x"}, schema) == ("", "")
