"""Reducers: deterministic, and indifferent to batching, as DeltaChannel asks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from graph.state import collect_artifacts, merge_files, merge_messages, newest

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


def test_removing_a_message_that_is_not_there_changes_nothing() -> None:
    assert ids_and_texts(merge_messages([HumanMessage("x", id="a")], [RemoveMessage(id="z")])) == [("a", "x")]


def test_equal_messages_without_ids_stay_two_when_earlier_ones_have_left() -> None:
    first = merge_messages([], [HumanMessage("0", id="0"), HumanMessage("hello")])
    again = merge_messages(first, [RemoveMessage(id="0"), HumanMessage("hello")])
    assert [message.content for message in again] == ["hello", "hello"]
    assert len({message.id for message in again}) == 2


def test_of_several_summaries_the_last_one_stays() -> None:
    assert newest("a", []) == "a"
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
