"""Ids, names and arguments of tool calls."""

from __future__ import annotations

import pytest

from nodes.llm.models import MALFORMED
from nodes.llm.pieces import Brackets, arguments, as_name, looks_unique, new_id
from nodes.llm.profiles import NINE


@pytest.mark.parametrize(
    "call_id", ["D681PevKs", "call_9f8e7d6c5b4a", "chatcmpl-tool-00aa", "toolu_01AbCdEf"]
)
def test_m2_1_ids_that_are_unique_are_kept(call_id: str) -> None:
    assert looks_unique(call_id)


@pytest.mark.parametrize(
    "call_id", ["", "0", "call_0", "call_1_12", "functions.add:0", "abc", "a b1c2d3e4", "x" * 65]
)
def test_m2_1_counters_and_odd_ids_do_not_stand_for_a_call_in_a_whole_thread(call_id: str) -> None:
    assert not looks_unique(call_id)


def test_m2_1_a_new_id_is_nine_letters_and_digits() -> None:
    assert NINE.fullmatch(new_id())
    assert len({new_id() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", {}),
        ("  ", {}),
        ('{"a": 1}', {"a": 1}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('{}{"a": 1}', {"a": 1}),
        ("[1]", {MALFORMED: "[1]"}),
        (" null\n", {}),
        ('"text"', {MALFORMED: '"text"'}),
        ('{"a": NaN}', {MALFORMED: '{"a": NaN}'}),
        ('{"a": 1}}', {MALFORMED: '{"a": 1}}'}),
        ('{"a": "\ud800\x00', {MALFORMED: '{"a": "?\ufffd'}),
    ],
)
def test_arguments_are_an_object_that_can_be_kept_or_malformed(raw: str, expected: dict[str, object]) -> None:
    assert arguments(raw) == expected


def test_what_is_malformed_is_kept_in_a_bounded_length() -> None:
    assert len(str(arguments("x" * 1_000_000)[MALFORMED])) == 16_384


def test_a_name_is_one_that_every_endpoint_takes() -> None:
    assert as_name("my tool!") == "my_tool_"
    assert as_name("") == "unknown"
    assert len(as_name("x" * 100)) == 64


@pytest.mark.parametrize("text", ['{"a": "}\\"}", "b": [1]}', "[]", '{"\\\\": 1}', '"{}" {}'])
def test_the_end_of_a_json_text_is_found_wherever_it_is_cut(text: str) -> None:
    for size in (1, 2, 100):
        found = Brackets()
        for start in range(0, len(text), size):
            assert not found.closed
            found.feed(text[start : start + size])
        assert found.closed
