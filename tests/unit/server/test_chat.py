"""How the chat page's conversations find their threads."""

from __future__ import annotations

import pytest

from core.access import Principal
from server.chat import ChatOutput, Conversations, spoken

ADA, BOB = Principal("ada"), Principal("bob")
SAID = [("human", "hi"), ("ai", "hello")]


def test_a_conversation_finds_its_thread_once() -> None:
    known = Conversations()
    known.keep(ADA, SAID, "t1")
    assert known.take(ADA, SAID) == "t1"
    assert known.take(ADA, SAID) is None


def test_another_user_or_another_text_finds_nothing() -> None:
    known = Conversations()
    known.keep(ADA, SAID, "t1")
    assert known.take(BOB, SAID) is None
    assert known.take(ADA, [("human", "hi"), ("ai", "bye")]) is None
    assert known.take(ADA, []) is None


def test_only_the_newest_are_remembered() -> None:
    known = Conversations(size=2)
    for place in range(3):
        known.keep(ADA, [("human", str(place))], f"t{place}")
    assert [known.take(ADA, [("human", str(place))]) for place in range(3)] == [None, "t1", "t2"]


@pytest.mark.parametrize(
    ("event", "shown", "text"),
    [
        ({"type": "token", "text": "a"}, "", "a"),
        ({"type": "usage"}, "", ""),
        ({"type": "done", "answer": "8"}, "", "8"),
        ({"type": "done", "answer": "8"}, "8", ""),
        ({"type": "error", "title": "Broken", "detail": "no model"}, "", "Broken: no model"),
        ({"type": "error", "title": "Broken", "detail": "no model"}, "so far", "\n\nBroken: no model"),
    ],
)
def test_what_a_person_reads_of_an_event(event: dict[str, str], shown: str, text: str) -> None:
    assert spoken(event, shown) == text


def test_the_schema_is_the_one_that_the_page_knows() -> None:
    assert ChatOutput.model_json_schema()["anyOf"][0]["properties"]["type"]["enum"] == ["ai"]
