"""Checkpoints in the forms of both savers."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from graph.moving.sealed import apart, comparable, packed, stored_json, together, unsealed

SERDE = JsonPlusSerializer()
PLACE = ("t1", "", "c1", "c0")


def row_of(values: dict[str, Any], metadata: str = "{}", **more: Any) -> tuple[Any, ...]:
    versions = dict.fromkeys(values, "1.0")
    checkpoint = {"v": 4, "id": "c1", "channel_values": values, "channel_versions": versions, **more}
    return (*PLACE, *SERDE.dumps_typed(checkpoint), metadata)


def other_form(row: tuple[Any, ...], **options: Any) -> tuple[Any, ...]:
    """To PostgreSQL's form and back."""
    told, beside = apart(row)
    return together(told, [(n.encode(), k.encode(), blob) for n, _, k, blob in beside], **options)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"text": "a", "whole": 1, "half": 2.5, "yes": True, "none": None, "large": 1e22},
        {"list": [1, {"a": (1, 2)}], "bytes": b"\x00\xff", "message": HumanMessage("hi", id="m1")},
        {"messages": _DeltaSnapshot([HumanMessage("hi", id="m1")]), "keys": {1: "one", "two": 2}},
    ],
)
def test_there_and_back_it_is_the_same(values: dict[str, Any]) -> None:
    row = row_of(values, '{"source": "loop", "step": 1}')
    back = other_form(row, exact=True)
    assert comparable(back) == comparable(row)
    assert SERDE.loads_typed((back[4], back[5])) == SERDE.loads_typed((row[4], row[5]))


def test_short_values_stand_inside_and_others_beside() -> None:
    (*_, told, _), beside = apart(row_of({"text": "a", "list": [1], "bytes": b"x"}))
    assert '"text":"a"' in told
    assert [blob[:3] for blob in beside] == [("list", "1.0", "msgpack"), ("bytes", "1.0", "bytes")]


def test_a_snapshot_belongs_to_the_checkpoint_that_it_was_stored_with() -> None:
    told, beside = apart(row_of({"messages": _DeltaSnapshot([1])}))
    blobs = [(name.encode(), kind.encode(), blob) for name, _, kind, blob in beside]
    unmarked = (*told[:4], told[4].replace('"messages":true', ""), told[5])
    assert unsealed("msgpack", together(told, blobs)[5])["channel_values"]
    assert not unsealed("msgpack", together(unmarked, blobs)[5])["channel_values"]
    first = (*unmarked[:3], None, *unmarked[4:])
    assert unsealed("msgpack", together(first, blobs)[5])["channel_values"], "the rest may stand on it"
    assert not unsealed("msgpack", together(first, blobs, exact=True)[5])["channel_values"]


def test_a_value_that_is_empty_is_none() -> None:
    told, _ = apart(row_of({"text": "a"}))
    found = together(told, [(b"gone", b"empty", None), (b"null", b"null", b"")])
    assert unsealed("msgpack", found[5])["channel_values"] == {"text": "a", "null": None}


def test_what_jsonb_does_not_take_is_compared_as_it_is_stored_there() -> None:
    row = row_of({"text": "a\x00b"}, '{"said": "\\u0000", "kept": "\\\\u0000", "no number": NaN}')
    told, _ = apart(row)
    assert "\\u0000" not in told[4]
    assert told[5] == '{"said":"\\ufffd","kept":"\\\\u0000","no number":"nan"}' or "\\ufffd" in told[5]
    assert "\\\\u0000" in told[5]
    assert comparable(other_form(row)) == comparable(row)


def test_other_ways_to_pack_are_read_too() -> None:
    assert unsealed("null", b"") is None
    assert unsealed("bytes", b"x") == b"x"
    assert unsealed("json", b'{"a": [1]}') == {"a": [1]}
    assert unsealed("msgpack", packed({"a": 1})) == {"a": 1}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("\x00", '"\\ufffd"'),
        ("\\u0000", '"\\\\u0000"'),
        ("\\\x00", '"\\\\\\ufffd"'),
        ({1: 2**70}, '{"1":"1180591620717411303424"}'),
    ],
)
def test_a_nul_is_replaced_and_what_looks_like_one_stays(value: object, text: str) -> None:
    assert stored_json(value) == text
