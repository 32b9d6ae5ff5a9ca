"""The messages that are sent: recent, whole turns, every call answered right after."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from nodes.llm.prompt import INTERRUPTED, alternating, answered, parted, recent, taken_ids


def calling(*ids: str) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "t", "args": {}, "id": i, "type": "tool_call"} for i in ids])


def result(call_id: str, text: str = "ok") -> ToolMessage:
    return ToolMessage(text, tool_call_id=call_id)


def test_the_window_begins_at_a_human_message() -> None:
    messages = [
        HumanMessage("1"),
        calling("a"),
        result("a"),
        AIMessage("x"),
        HumanMessage("2"),
        AIMessage("y"),
    ]
    assert recent(messages, 4) == messages[4:]
    assert recent(messages, 6) == messages
    assert recent(messages, 100) == messages


def test_a_turn_that_is_longer_than_the_window_is_kept_whole() -> None:
    messages = [HumanMessage("0"), HumanMessage("1"), calling("a"), result("a"), calling("b"), result("b")]
    assert recent(messages, 2) == messages[1:]
    assert recent([AIMessage("x")], 1) == [AIMessage("x")]


def test_what_is_not_sent_is_all_that_stands_before() -> None:
    messages = [HumanMessage("1"), AIMessage("x"), HumanMessage("2"), AIMessage("y")]
    assert parted(messages, 3) == (messages[:2], messages[2:])
    assert parted(messages, 9) == ([], messages)


def test_a_result_that_stands_late_is_moved_and_a_stray_one_dropped() -> None:
    late = result("a")
    messages = [HumanMessage("1"), calling("a"), HumanMessage("2"), late, result("nobody")]
    ordered, missing = answered(messages)
    assert ordered == [messages[0], messages[1], late, messages[2]]
    assert missing == []


def test_a_missing_result_is_made_up_with_a_stable_id() -> None:
    messages = [HumanMessage("1"), calling("a", "b"), result("b")]
    ordered, missing = answered(messages)
    assert [m.text for m in ordered[2:]] == [INTERRUPTED, "ok"]
    assert [m.id for m in missing] == ["interrupted-a"]
    assert missing[0].status == "error"


def test_strict_ordering_puts_an_answer_between_tool_and_human() -> None:
    messages = [HumanMessage("1"), calling("a"), result("a"), HumanMessage("2"), HumanMessage("3")]
    assert [m.type for m in alternating(messages)] == ["human", "ai", "tool", "ai", "human"]


_MESSAGE = st.one_of(
    st.builds(HumanMessage, st.text(max_size=3)),
    st.builds(lambda ids: calling(*ids), st.lists(st.sampled_from("abc"), max_size=2, unique=True)),
    st.builds(result, st.sampled_from("abcd")),
)


@given(st.lists(_MESSAGE, max_size=12), st.integers(1, 12))
def test_every_call_is_answered_right_after_it(messages: list[BaseMessage], limit: int) -> None:
    ordered, _ = answered(recent(messages, limit))
    for index, message in enumerate(ordered):
        if isinstance(message, AIMessage):
            wanted = [call["id"] for call in message.tool_calls]
            following = ordered[index + 1 : index + 1 + len(wanted)]
            assert [m.tool_call_id for m in following if isinstance(m, ToolMessage)] == wanted
    assert answered(ordered)[1] == []
    assert taken_ids(ordered) <= set("abc")
