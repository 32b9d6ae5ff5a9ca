"""How a conversation is told from others, and which runs may have said what stands last in it."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from server.conversations import ALONE, Said, Turn, askings, digest, joined

HI, HELLO = Said("user", "hi"), Said("assistant", "hello")


def test_blanks_do_not_count_and_everything_else_does() -> None:
    assert digest([HI, HELLO]) == digest([Said("user", " hi\n"), Said("assistant", "hel lo")])
    others = [
        [HELLO, HI],
        [HI],
        [HI, Said("assistant", "hello!")],
        [Said("user", "hi", others=("a picture",)), HELLO],
        [HI, Said("assistant", "hello", calls=(("c1", "add", "{}"),))],
        [HI, Said("tool", "hello", call_id="c1")],
    ]
    assert len({digest(said) for said in [[HI, HELLO], *others]}) == len(others) + 1


def test_what_was_told_is_all_behind_the_users_last_message() -> None:
    said = [HI, HELLO, Said("user", "more"), Said("assistant", "a "), Said("assistant", "b")]
    assert list(askings(said)) == [(said[:3], "a b")]
    with_a_tool = [HI, Said("assistant", "a "), Said("tool", "8", call_id="c1"), Said("assistant", "b")]
    assert list(askings(with_a_tool)) == [([HI], "a b")]


@pytest.mark.parametrize(
    "answer", ["approve", "Reject: not now", '{"approve": true}', '[{"type": "approve"}]']
)
def test_behind_an_answer_the_run_may_be_that_of_the_question(answer: str) -> None:
    said = [HI, Said("assistant", "may I?"), Said("user", answer), HELLO]
    assert list(askings(said)) == [(said[:3], "hello"), (said[:1], "hello")]


def test_several_answers_lead_back_to_the_first_message() -> None:
    asks, answer = Said("assistant", "may I?"), Said("user", "approve")
    said = [HI, asks, answer, asks, answer, HELLO]
    assert [len(asked) for asked, _ in askings(said)] == [5, 3, 1]


def test_where_nobody_asked_nothing_is_looked_for() -> None:
    assert list(askings([])) == []
    assert list(askings([HELLO])) == []
    assert list(askings([HI])) == []


def test_a_message_is_kept_as_what_it_is() -> None:
    assert HI.as_message() == HumanMessage("hi")
    assert Said("tool", "8", call_id="c1").as_message() == ToolMessage("8", tool_call_id="c1")
    called = Said("assistant", "", calls=(("c1", "add", '{"a": 1}'),)).as_message()
    assert isinstance(called, AIMessage)
    assert called.tool_calls == [{"id": "c1", "name": "add", "args": {"a": 1}, "type": "tool_call"}]


@pytest.mark.parametrize(
    "kept",
    [
        [Said("user", "one"), Said("user", "two"), HELLO],
        [Said("user", "one"), Said("assistant", " "), Said("user", "two"), HELLO],
        [Said("user", ""), Said("user", "one\n\ntwo"), Said("assistant", "hello\n"), Said("assistant", "")],
    ],
)
def test_a_conversation_is_the_same_however_its_client_keeps_it(kept: list[Said]) -> None:
    said = [Said("user", "one\n\ntwo"), HELLO]
    assert digest(kept) == digest(said)
    more = Said("user", "more")
    assert Turn([*kept, more], more, {}).joined().asked == Said("user", "more\n\nmore")
    assert [one.text.strip() for one in joined(kept)] == [one.text for one in said]


def test_a_file_without_a_word_is_the_same_alone_and_in_a_history() -> None:
    bare, told = Said("user", "", others=("f",)), Said("user", ALONE, others=("f",))
    assert digest([bare, HELLO]) == digest([told, HELLO])
    assert joined([bare, HI]) == [Said("user", "hi", others=("f",))]


def test_arguments_are_the_same_however_they_are_written() -> None:
    def called(arguments: str) -> str:
        return digest([HI, Said("assistant", "", calls=(("c1", "add", arguments),))])

    assert called('{"a": 1, "b": [2]}') == called('{"b":[2],"a":1}')
    assert called('{"a": 1}') != called('{"a": 2}')
    assert called("not JSON") != called("not json")
    assert called('{"a": ' + "9" * 5000 + "}") != called('{"a": ' + "9" * 5001 + "}")
