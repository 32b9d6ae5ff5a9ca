"""Chunks of odd endpoints become whole messages."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk

from nodes.llm.assembly import Assembly, merged
from nodes.llm.models import MALFORMED, LLMChunk
from nodes.llm.pieces import CALL_FIELDS, ENDPOINT, FIELDS, REASONING, Piece
from nodes.llm.profiles import DEFAULT, PROFILES


def chunk(*parts: ToolCallChunk) -> AIMessageChunk:
    return AIMessageChunk(content="", tool_call_chunks=list(parts))


def test_whole_calls_with_one_index_are_told_apart_by_their_id() -> None:
    assembly = Assembly()
    assembly.add(chunk(tool_call_chunk(name="a", args="{}", id="1", index=0)))
    assembly.add(chunk(tool_call_chunk(name="b", args="{}", id="2", index=0)))
    assert [c["name"] for c in assembly.message().tool_calls] == ["a", "b"]


def test_parts_without_an_index_go_on_with_the_last_call() -> None:
    assembly = Assembly()
    assembly.add(chunk(tool_call_chunk(name="a", args='{"x"', id="1", index=None)))
    assembly.add(chunk(tool_call_chunk(name=None, args=": 1}", id=None, index=None)))
    assert assembly.message().tool_calls[0]["args"] == {"x": 1}


def test_names_that_no_endpoint_would_take_back_are_cleaned() -> None:
    assembly = Assembly(taken=["call_earlier_one_1"])
    assembly.add(chunk(tool_call_chunk(name="my tool!", args="nan nan", id="call_earlier_one_1", index=0)))
    assembly.add(chunk(tool_call_chunk(name="", args=None, id="call_another_one_2", index=1)))
    first, second = assembly.message().tool_calls
    assert (first["name"], first["args"]) == ("my_tool_", {MALFORMED: "nan nan"})
    assert first["id"] != "call_earlier_one_1"
    assert (second["name"], second["args"], second["id"]) == ("unknown", {}, "call_another_one_2")


def test_text_in_content_blocks_is_read() -> None:
    assembly = Assembly()
    seen = assembly.add(AIMessageChunk(content=[{"type": "text", "text": "hi"}]))
    assert seen is not None
    assert seen.text == assembly.text == "hi"
    assert assembly.add(AIMessageChunk(content="")) is None


def test_a_pair_of_surrogates_that_is_cut_in_two_is_one_character() -> None:
    assembly = Assembly()
    seen = [assembly.add(Piece(text)) for text in ("a\ud83d", "\ude00b", "\ud83d")]
    assert [one.text for one in seen if one] == ["a", "\U0001f600b"]
    assert assembly.message().text == "a\U0001f600b"
    reasoning = [assembly.add(Piece(more={REASONING: half})) for half in ("\ud83d", "\ude00")]
    assert reasoning == [None, LLMChunk("", "\U0001f600")]


def test_m2_2_what_the_endpoint_wants_back_is_kept_as_its_profile_says() -> None:
    def kept(profile: Any, *, calls: bool = True) -> Any:
        assembly = Assembly(profile=profile, of="here")
        for text in ("two ", "words"):
            assembly.add(Piece(more={REASONING: text, FIELDS: {"reasoning_content": text}}))
        if calls:
            assembly.add(Piece(calls=[{"name": "a", "args": "{}", "id": "abc123xyz", "index": 0}]))
        return assembly.message().additional_kwargs.get(ENDPOINT)

    fields = {"of": "here", "fields": {"reasoning_content": "two words"}}
    assert kept(DEFAULT) == fields
    assert kept(DEFAULT, calls=False) is None
    assert kept(PROFILES["deepseek"], calls=False) == fields
    assert kept(PROFILES["openai"]) is None
    assert kept(None) is None


def test_m2_2_fields_of_a_call_are_kept_with_the_call() -> None:
    assembly = Assembly(profile=DEFAULT, of="here")
    sealed = {CALL_FIELDS: {"extra_content": {"seal": "s", "odd": float("nan")}}}
    assembly.add(Piece(calls=[{"name": "a", "args": "{}", "id": "call_0", "index": 0, **sealed}]))
    message = assembly.message()
    call_id = message.tool_calls[0]["id"]
    assert message.additional_kwargs[ENDPOINT] == {
        "of": "here",
        "ids": {call_id: "call_0"},
        "calls": {call_id: {"extra_content": {"seal": "s", "odd": "NaN"}}},
    }


@pytest.mark.parametrize(
    ("values", "whole"),
    [
        (["a", "b"], "ab"),
        ([{"a": 1}, {"b": 2}], {"b": 2}),
        ([[1], [2, "x"]], [1, 2, "x"]),
        (
            [[{"index": 0, "type": "t", "text": "a"}], [{"index": 0, "type": "t", "text": "b", "id": None}]],
            [{"index": 0, "type": "t", "text": "ab"}],
        ),
        (
            [[{"index": 0, "type": "t"}], [{"index": 1, "type": "t"}], [{"type": "t"}]],
            [{"index": 0, "type": "t"}, {"index": 1, "type": "t"}, {"type": "t"}],
        ),
    ],
)
def test_a_field_that_comes_in_pieces_becomes_whole(values: list[Any], whole: Any) -> None:
    assert merged(values) == whole
