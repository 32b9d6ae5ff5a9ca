"""Notes on a conversation: short, in order, and the same whoever makes them and in however many steps."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from nodes.llm.prompt import DIGEST_BYTES, digest

CALL = [{"name": "t", "args": {}, "id": "c", "type": "tool_call"}]
turn = st.tuples(st.text(max_size=400), st.text(max_size=400)).map(
    lambda said: [HumanMessage(said[0]), AIMessage(said[1])]
)
turns = st.lists(turn, max_size=30)


def joined(found: Sequence[Sequence[BaseMessage]]) -> list[BaseMessage]:
    return [message for each in found for message in each]


def test_a_turn_becomes_its_question_and_the_first_sentence_of_its_answer() -> None:
    messages = [
        HumanMessage("What is the fee\nfor nine metres?"),
        AIMessage("", tool_calls=CALL),
        ToolMessage("15", tool_call_id="c"),
        AIMessage("It is **15 euros** a night. Electricity is included."),
        HumanMessage("v1.5 or 2?"),
        AIMessage("Take 1.5 then"),
    ]
    assert digest("", messages).splitlines() == [
        "Asked: What is the fee for nine metres?",
        "Answered: It is **15 euros** a night.",
        "Asked: v1.5 or 2?",
        "Answered: Take 1.5 then",
    ]


def test_a_question_without_an_answer_stands_alone() -> None:
    assert digest("", [HumanMessage("Hello?"), AIMessage("", tool_calls=CALL)]) == "Asked: Hello?"
    assert digest("", []) == ""
    assert digest("", [AIMessage("No question.")]) == ""


def test_the_oldest_goes_where_there_is_no_room() -> None:
    found = digest("", joined([[HumanMessage(f"Question {n}?"), AIMessage("Yes.")] for n in range(500)]))
    assert len(found.encode()) <= DIGEST_BYTES
    assert found.endswith("Asked: Question 499?\nAnswered: Yes.")
    assert "Question 0?" not in found
    longer = digest(found, [HumanMessage("One more?"), AIMessage("No.")])
    assert longer.endswith("Question 499?\nAnswered: Yes.\nAsked: One more?\nAnswered: No.")
    assert found.splitlines()[0] not in longer


@given(turns, turns)
def test_two_steps_give_what_one_gives(
    first: list[list[BaseMessage]], second: list[list[BaseMessage]]
) -> None:
    whole = digest("", joined([*first, *second]))
    assert digest(digest("", joined(first)), joined(second)) == whole
    assert len(whole.encode()) <= DIGEST_BYTES


@given(turns)
def test_no_line_but_the_marked_ones_stands_in_it(found: list[list[BaseMessage]]) -> None:
    lines = digest("", joined(found)).split("\n")
    assert lines == [""] or all(line.startswith(("Asked: ", "Answered: ")) for line in lines)


def test_half_of_a_pair_of_surrogates_does_no_harm() -> None:
    assert digest("", [HumanMessage("a\ud800b")]) == "Asked: a?b"
