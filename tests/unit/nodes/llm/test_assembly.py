"""Chunks of odd endpoints become whole messages."""

from __future__ import annotations

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk

from nodes.llm.assembly import Assembly
from nodes.llm.models import MALFORMED


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
