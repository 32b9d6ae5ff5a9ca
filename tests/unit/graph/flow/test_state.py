"""Reducers: deterministic, and indifferent to batching, as DeltaChannel asks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Overwrite

from core.errors import InvalidInput
from graph.flow.state import Messages, checked_input, collect_artifacts, merge_files, merge_messages, newest

ids = st.sampled_from(["a", "b", "c", None])
messages = st.builds(lambda text, key: HumanMessage(text, id=key), st.text(max_size=5), ids)
removals = st.sampled_from(["a", "b", REMOVE_ALL_MESSAGES]).map(lambda key: RemoveMessage(id=key))
writes = st.lists(st.lists(st.one_of(messages, removals), max_size=3), max_size=6)


def ids_and_texts(found: list[BaseMessage]) -> list[tuple[str | None, object]]:
    return [(message.id, message.content) for message in found]


@given(writes, writes)
def test_two_batches_give_what_one_batch_gives(
    first: list[list[BaseMessage]], second: list[list[BaseMessage]]
) -> None:
    in_two = merge_messages(merge_messages([], first), second)
    assert ids_and_texts(in_two) == ids_and_texts(merge_messages([], first + second))


@given(writes)
def test_the_same_writes_give_the_same_ids(batch: list[list[BaseMessage]]) -> None:
    assert ids_and_texts(merge_messages([], batch)) == ids_and_texts(merge_messages([], batch))


def test_a_message_with_a_known_id_replaces_the_old_one_in_its_place() -> None:
    said = [HumanMessage("one", id="a"), AIMessage("two", id="b"), HumanMessage("three", id="c")]
    merged = merge_messages([], [said, HumanMessage("1", id="a"), AIMessage("2", id="b")])
    assert ids_and_texts(merged) == [("a", "1"), ("b", "2"), ("c", "three")]


CALL = {"id": "c", "name": "add", "args": {"a": 1}, "type": "tool_call"}
OTHER = {"id": "d", "name": "add", "args": {"a": 2}, "type": "tool_call"}
ANSWERED: list[BaseMessage] = [
    HumanMessage("one", id="a"),
    AIMessage("", id="b", tool_calls=[CALL, OTHER]),
    ToolMessage("1", id="c", tool_call_id="c"),
    ToolMessage("2", id="d", tool_call_id="d"),
    AIMessage("done", id="e"),
]


def test_st1_an_edited_question_of_the_last_turn_takes_its_answer_with_it() -> None:
    assert ids_and_texts(merge_messages(ANSWERED, [HumanMessage("other", id="a")])) == [("a", "other")]
    same = merge_messages(ANSWERED, [HumanMessage("one", id="a", name="ada")])
    assert ids_and_texts(same) == ids_and_texts(ANSWERED)


def test_st1_a_call_with_other_arguments_loses_its_result_and_no_other_does() -> None:
    edited = AIMessage("", id="b", tool_calls=[{**CALL, "args": {"a": 5}}, OTHER])
    kept = [message.id for message in merge_messages(ANSWERED, [edited])]
    assert kept == ["a", "b", "d", "e"]
    assert len(merge_messages(ANSWERED, [AIMessage("changed", id="e")])) == len(ANSWERED)


def test_st1_messages_that_were_written_out_as_json_come_back_whole() -> None:
    record = ToolMessage(
        "1", id="c", tool_call_id="c", status="error", additional_kwargs={"waystation": {"server": "sums"}}
    )
    usage: Any = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    whole = [
        *ANSWERED[:2],
        record,
        AIMessage("done", id="e", usage_metadata=usage),
        SystemMessage("be kind", id="s"),
    ]
    as_json: Any = [message.model_dump() for message in whole]
    assert merge_messages([], [as_json]) == whole
    assert merge_messages(as_json, [[{"type": "remove", "id": "s", "content": ""}]]) == whole[:-1]


@pytest.mark.parametrize(
    "form", [5, None, {"foo": 1}, {"type": "nobody", "content": "x"}, {"role": 7, "content": "x"}]
)
def test_st3_what_is_no_message_is_refused(form: Any) -> None:
    with pytest.raises(InvalidInput, match="this is no message"):
        merge_messages([], [[form]])


def test_messages_that_take_the_place_of_all_are_messages_too() -> None:
    channel = Messages(merge_messages, list)
    channel.update([Overwrite([{"type": "human", "content": "x", "id": "a"}])])
    assert ids_and_texts(channel.get()) == [("a", "x")]
    channel.replay_writes(
        [("task", "messages", {"__overwrite__": [{"type": "ai", "content": "y", "id": "b"}]})]
    )
    assert ids_and_texts(channel.get()) == [("b", "y")]


@pytest.mark.parametrize("given", ["x", [1], [{"name": "x"}], [{"key": 5, "name": "x"}]])
def test_st3_what_is_no_file_is_refused(given: Any) -> None:
    with pytest.raises(InvalidInput, match="`files` is a list"):
        merge_files([], given)
    with pytest.raises(InvalidInput, match="`files` is a list"):
        checked_input({"files": given})


def test_what_comes_in_is_made_into_messages_and_nothing_is_added() -> None:
    assert checked_input({}) == {}
    assert checked_input({"files": None}) == {"files": []}
    (message,) = checked_input({"messages": "hello"})["messages"]
    assert isinstance(message, HumanMessage)
    with pytest.raises(InvalidInput, match="an object with `messages`"):
        checked_input({"question": "hello"})


def test_removing_a_message_that_is_not_there_changes_nothing() -> None:
    assert ids_and_texts(merge_messages([HumanMessage("x", id="a")], [RemoveMessage(id="z")])) == [("a", "x")]


def test_equal_messages_without_ids_stay_two_when_earlier_ones_have_left() -> None:
    first = merge_messages([], [HumanMessage("0", id="0"), HumanMessage("hello")])
    again = merge_messages(first, [RemoveMessage(id="0"), HumanMessage("hello")])
    assert [message.content for message in again] == ["hello", "hello"]
    assert len({message.id for message in again}) == 2


def test_of_several_summaries_the_last_one_stays() -> None:
    assert newest("a", []) == "a"
    assert newest("a", [None]) == ""
    assert newest(newest("", ["a"]), ["b", "c"]) == newest("", ["a", "b", "c"]) == "c"


def test_plain_dictionaries_from_studio_become_messages() -> None:
    (message,) = merge_messages([], [[{"role": "user", "content": "hello"}]])
    assert isinstance(message, HumanMessage)
    assert message.id


def test_a_file_with_a_known_key_replaces_the_earlier_entry() -> None:
    merged = merge_files([{"key": "a", "name": "x"}], [{"key": "a", "name": "y"}, {"key": "b", "name": "z"}])
    assert merged == [{"key": "a", "name": "y"}, {"key": "b", "name": "z"}]


def test_artifacts_gather_by_id_until_none_clears_them() -> None:
    gathered = collect_artifacts(collect_artifacts(None, [{"id": "1"}]), [{"id": "1"}, {"id": "2"}])
    assert gathered == [{"id": "1"}, {"id": "2"}]
    assert collect_artifacts(gathered, None) == []
