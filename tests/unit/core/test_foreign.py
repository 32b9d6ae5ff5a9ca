"""What others say passes one gate: it is judged or mended, and never breaks a store."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.foreign import MAX_DEPTH, as_bytes, as_json, clean_text, fault_in, from_json, read_json, storable

NAN, INFINITE = float("nan"), float("inf")


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


class Nameless:
    def __str__(self) -> str:
        raise RuntimeError("no name")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain", "plain"),
        ("größer 💡", "größer 💡"),
        ("a\x00b", "a\ufffdb"),
        ("\ud800", "?"),
        ("x\udc00y\x00ü", "x?y\ufffdü"),
        ("two halves \ud83d\ude00", "two halves 😀"),
        ("turned \ude00\ud83d", "turned ??"),
        ("", ""),
    ],
)
def test_text_is_cleaned_of_what_a_store_cannot_hold(text: str, clean: str) -> None:
    assert clean_text(text) == clean


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"a": {"b": NAN}}, "arguments.a.b is NaN"),
        ({"a": [0, -INFINITE]}, "arguments.a[1] is -Infinity"),
        ({"a": INFINITE}, "arguments.a is Infinity"),
        ({"a": 2**64}, "arguments.a is an integer of more than 64 bits"),
        ({"a": -(2**63) - 1}, "arguments.a is an integer of more than 64 bits"),
        ({"a": ["ok", "\ud800"]}, "arguments.a[1] has half of a surrogate pair"),
        ({"a": {"\udc00": 1}}, "arguments.a has a key with half of a surrogate pair"),
        ({1: 2}, "arguments has a key that is no text"),
        ({"a": {1, 2}}, "arguments.a is of the type set, which JSON does not have"),
        (nested(MAX_DEPTH + 1), "arguments nests deeper than 64 levels"),
        (nested(100_000), "arguments nests deeper than 64 levels"),
        ({"a": "x" * 2_000_000}, "arguments is larger than 1048576 characters and values"),
        ([0] * 2_000_000, "arguments is larger than 1048576 characters and values"),
        ({"k" * 2_000_000: 1}, "arguments is larger than 1048576 characters and values"),
    ],
)
def test_a_value_that_cannot_be_kept_is_judged_with_its_place(value: Any, fault: str) -> None:
    assert fault_in(value, "arguments") == fault


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -(2**63), 2**64 - 1, 1.5, "", "💡", [], {}, {"a": [{"b": None}]}, nested(MAX_DEPTH)],
)
def test_json_that_every_store_holds_is_left_as_it_is(value: Any) -> None:
    assert fault_in(value) == ""
    assert storable(value) is value
    assert orjson.loads(as_json(value)) == value


def test_the_place_of_a_fault_is_told_in_a_line_however_deep_it_stands() -> None:
    value: Any = NAN
    for _ in range(60):
        value = {"key" * 50: value}
    assert len(fault_in(value, "arguments")) < 140


def test_a_record_keeps_what_it_can_and_spells_the_rest() -> None:
    odd = {
        "nan": NAN,
        "big": 12345678901234567890123,
        "half": "\ud800",
        1: "one",
        "many": {3},
        "pair": (1, INFINITE),
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "huge": 1 << 100_000,
        "odd": Nameless(),
        "order": [1, "a\x00", [2]],
    }
    assert storable(odd) == {
        "nan": "NaN",
        "big": "12345678901234567890123",
        "half": "?",
        "1": "one",
        "many": [3],
        "pair": [1, "Infinity"],
        "when": "2026-01-02 00:00:00+00:00",
        "huge": "an integer of 100001 bits",
        "odd": "Nameless",
        "order": [1, "a\x00", [2]],
    }
    assert list(storable(odd)) == [str(key) for key in odd]


def test_a_record_that_is_too_deep_or_too_large_is_cut_and_says_so() -> None:
    assert str(storable(nested(1000))).count("[") == MAX_DEPTH
    assert storable([1, [2, [3]]], depth=2) == [1, [2, "…"]]
    assert storable(["a" * 10, "b" * 10, 5], weight=16) == ["a" * 10, "bbb…", "…"]
    assert storable([[1] * 100], weight=50) == ["…"]


def test_json_text_is_read_or_told_what_is_wrong() -> None:
    assert read_json('{"a": 1}') == ({"a": 1}, "")
    assert read_json("null") == (None, "")
    assert read_json('{"a": NaN}', "arguments") == (None, "arguments.a is NaN")
    assert read_json("1e999") == (None, "value is Infinity")
    assert read_json('{"a"', "arguments")[1].startswith("arguments is no JSON (")
    assert read_json("[" * 100_000)[1] == "value is no JSON (it nests too deep)"
    assert read_json("1" * 5000)[1] == "value is no JSON (it cannot be read)"
    assert read_json(b"\xff")[1] == "value is no JSON (it cannot be read)"


def test_a_column_never_refuses_a_value() -> None:
    odd = {"ü": NAN, "big": 2**80, "half": "\ud800", "nul": "\x00", "deep": nested(10_000)}
    line = as_json(odd)
    assert line.isascii()
    found = json.loads(line)
    assert (found["ü"], found["big"], found["half"]) == ("NaN", str(2**80), "?")
    assert as_json({"ü": NAN}) == '{"\\u00fc": null}'
    assert as_json({"a": 1}) == '{"a":1}'


def test_a_line_for_others_is_written_whatever_stands_in_it() -> None:
    odd = {"when": datetime(2026, 1, 2, tzinfo=UTC), "nan": NAN, "name": Nameless()}
    assert json.loads(as_bytes(odd)) == {"when": "2026-01-02T00:00:00+00:00", "nan": None, "name": "Nameless"}
    assert json.loads(as_bytes({"half": "\ud800", "big": 2**80})) == {"half": "?", "big": str(2**80)}


def test_what_was_stored_before_the_gate_stood_can_be_handed_on() -> None:
    assert from_json('{"a": NaN, "b": "\\ud800", "c": 1}') == {"a": "NaN", "b": "?", "c": 1}
    assert from_json(b'{"a": 1}') == {"a": 1}
    with pytest.raises(ValueError, match="Expecting"):
        from_json("{")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner),
        max_leaves=20,
    )
)
def test_whatever_passes_the_gate_can_be_kept(value: Any) -> None:
    mended = storable(value)
    assert fault_in(mended) == ""
    assert orjson.loads(orjson.dumps(mended)) == mended
    assert orjson.loads(as_json(mended)) == mended
