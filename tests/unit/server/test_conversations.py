"""How a conversation is told from others, and which runs may have said what stands last in it."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from server.conversations import ALONE, SentMessage, Turn, askings, digest, joined

HI, HELLO = SentMessage("user", "hi"), SentMessage("assistant", "hello")


def test_blanks_do_not_count_and_everything_else_does() -> None:
    assert digest([HI, HELLO]) == digest([SentMessage("user", " hi\n"), SentMessage("assistant", "hel lo")])
    others = [
        [HELLO, HI],
        [HI],
        [HI, SentMessage("assistant", "hello!")],
        [SentMessage("user", "hi", others=("a picture",)), HELLO],
        [HI, SentMessage("assistant", "hello", calls=(("c1", "add", "{}"),))],
        [HI, SentMessage("tool", "hello", call_id="c1")],
    ]
    assert len({digest(said) for said in [[HI, HELLO], *others]}) == len(others) + 1


def test_what_was_told_is_all_behind_the_users_last_message() -> None:
    said = [
        HI,
        HELLO,
        SentMessage("user", "more"),
        SentMessage("assistant", "a "),
        SentMessage("assistant", "b"),
    ]
    assert list(askings(said)) == [(said[:3], "a b")]
    with_a_tool = [
        HI,
        SentMessage("assistant", "a "),
        SentMessage("tool", "8", call_id="c1"),
        SentMessage("assistant", "b"),
    ]
    assert list(askings(with_a_tool)) == [([HI], "a b")]


@pytest.mark.parametrize(
    "answer", ["approve", "Reject: not now", '{"approve": true}', '[{"type": "approve"}]']
)
def test_behind_an_answer_the_run_may_be_that_of_the_question(answer: str) -> None:
    said = [HI, SentMessage("assistant", "may I?"), SentMessage("user", answer), HELLO]
    assert list(askings(said)) == [(said[:3], "hello"), (said[:1], "hello")]


def test_several_answers_lead_back_to_the_first_message() -> None:
    asks, answer = SentMessage("assistant", "may I?"), SentMessage("user", "approve")
    said = [HI, asks, answer, asks, answer, HELLO]
    assert [len(asked) for asked, _ in askings(said)] == [5, 3, 1]


def test_where_nobody_asked_nothing_is_looked_for() -> None:
    assert list(askings([])) == []
    assert list(askings([HELLO])) == []
    assert list(askings([HI])) == []


def test_a_message_is_kept_as_what_it_is() -> None:
    assert HI.as_message() == HumanMessage("hi")
    assert SentMessage("tool", "8", call_id="c1").as_message() == ToolMessage("8", tool_call_id="c1")
    called = SentMessage("assistant", "", calls=(("c1", "add", '{"a": 1}'),)).as_message()
    assert isinstance(called, AIMessage)
    assert called.tool_calls == [{"id": "c1", "name": "add", "args": {"a": 1}, "type": "tool_call"}]


@pytest.mark.parametrize(
    "kept",
    [
        [SentMessage("user", "one"), SentMessage("user", "two"), HELLO],
        [SentMessage("user", "one"), SentMessage("assistant", " "), SentMessage("user", "two"), HELLO],
        [
            SentMessage("user", ""),
            SentMessage("user", "one\n\ntwo"),
            SentMessage("assistant", "hello\n"),
            SentMessage("assistant", ""),
        ],
    ],
)
def test_a_conversation_is_the_same_however_its_client_keeps_it(kept: list[SentMessage]) -> None:
    said = [SentMessage("user", "one\n\ntwo"), HELLO]
    assert digest(kept) == digest(said)
    more = SentMessage("user", "more")
    assert Turn([*kept, more], more, {}).joined().asked == SentMessage("user", "more\n\nmore")
    assert [one.text.strip() for one in joined(kept)] == [one.text for one in said]


def test_a_file_without_a_word_is_the_same_alone_and_in_a_history() -> None:
    bare, told = SentMessage("user", "", others=("f",)), SentMessage("user", ALONE, others=("f",))
    assert digest([bare, HELLO]) == digest([told, HELLO])
    assert joined([bare, HI]) == [SentMessage("user", "hi", others=("f",))]


def test_arguments_are_the_same_however_they_are_written() -> None:
    def called(arguments: str) -> str:
        return digest([HI, SentMessage("assistant", "", calls=(("c1", "add", arguments),))])

    assert called('{"a": 1, "b": [2]}') == called('{"b":[2],"a":1}')
    assert called('{"a": 1}') != called('{"a": 2}')
    assert called("not JSON") != called("not json")
    assert called('{"a": ' + "9" * 5000 + "}") != called('{"a": ' + "9" * 5001 + "}")
