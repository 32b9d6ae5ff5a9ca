"""What waits for a person, in words, on a page that shows only text and at a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from core.errors import InvalidInput
from graph.service.answers import answers_for
from server.cli.ask import answer_of
from server.cli.prompting import parsed, prompted
from server.questions import answer_in, line_of, sample_answer, told_in_chat

CALL = {"id": "c1", "server": "sums", "tool": "add", "arguments": {"a": 5}}
APPROVAL = {"id": "i1", "kind": "approval", "detail": "May sums run 'add'?", "call": CALL}
FORM = {
    "type": "object",
    "properties": {
        "nights": {"type": "integer"},
        "room": {"type": "string", "enum": ["small", "large"]},
        "extras": {"type": "array"},
        "late": {"type": "boolean"},
        "note": {"type": "string"},
    },
    "required": ["nights", "room", "extras", "late"],
}
FORMED = {"id": "i2", "kind": "elicitation", "detail": "How long?", "call": CALL, "schema": FORM}
BUDGET = {"id": "i3", "kind": "budget"}


def test_a_question_is_one_line_with_its_call() -> None:
    assert line_of(APPROVAL) == "May sums run 'add'? sums.add(a=5)"
    assert line_of(BUDGET) == "Allow this?"
    assert line_of({"call": {"tool": "add", "arguments": "x" * 300}}).endswith("…)?")


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("approve", {"approve": True}),
        (" Approved. ", {"approve": True}),
        ("reject", {"approve": False}),
        ("Deny!", {"approve": False}),
        ("reject: not today: busy", {"approve": False, "reason": "not today: busy"}),
        ('{"approve": true}', {"approve": True}),
        ('[{"type": "approve"}]', [{"type": "approve"}]),
        ("approve: but why", None),
        ("I approve of it", None),
        ("{not json", None),
        ("", None),
    ],
)
def test_a_message_is_an_answer_where_it_is_nothing_else(message: str, answer: Any) -> None:
    assert answer_in(message) == answer


def test_a_sample_answer_has_a_place_for_each_question() -> None:
    assert sample_answer([APPROVAL, APPROVAL]) == {"decisions": [{"type": "approve"}] * 2}
    mixed = sample_answer([APPROVAL, FORMED, BUDGET])
    assert mixed["i1"] == mixed["i3"] == {"approve": True}
    assert set(mixed["i2"]["content"]) == {"nights", "room", "extras", "late"}


def test_a_chat_says_what_waits_and_what_to_send() -> None:
    text = told_in_chat([APPROVAL, FORMED], "t1")
    assert "1. May sums run 'add'?" in text
    assert "2. How long?" in text
    assert 'thread_id "t1"' in text
    assert "declined or cancelled" in text


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the person will type, in order."""
    lines: list[str] = []

    def answers() -> Iterator[str]:
        while lines:
            yield lines.pop(0)

    given = answers()
    monkeypatch.setattr(typer, "prompt", lambda *_, **__: next(given))
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: next(given) == "y")
    return lines


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (["y"], {"approve": True}),
        (["what", "approve"], {"approve": True}),
        (["n", ""], {"approve": False}),
        (["reject", "not now"], {"approve": False, "reason": "not now"}),
        (["e", "{broken", '{"a": 6}'], {"approve": True, "arguments": {"a": 6}}),
        (["r", "11"], {"respond": "11"}),
    ],
)
def test_at_a_terminal_an_approval_has_its_four_answers(
    typed: list[str], lines: list[str], answer: dict[str, Any]
) -> None:
    typed += lines
    given = prompted([APPROVAL])
    assert given == {"i1": answer}
    assert answers_for(given, [APPROVAL]) == given


def test_at_a_terminal_a_form_is_filled_in_field_by_field(typed: list[str]) -> None:
    typed += ["y", "3", "small", "balcony, bath", "yes", "", "y"]
    given = prompted([FORMED, BUDGET])
    content = {"nights": 3, "room": "small", "extras": ["balcony", "bath"], "late": True}
    assert given == {"i2": {"action": "accept", "content": content}, "i3": {"approve": True}}
    assert answers_for(given, [FORMED, BUDGET]) == given


def test_what_does_not_fit_a_field_is_for_the_grammar_to_refuse(typed: list[str]) -> None:
    typed += ["y", "three", "small", "a", "no", "hi"]
    with pytest.raises(InvalidInput, match="'three' is not of type 'integer'"):
        answers_for(prompted([FORMED]), [FORMED])


def test_a_form_may_be_declined_or_closed(typed: list[str]) -> None:
    typed += ["n", "c"]
    assert [prompted([FORMED])["i2"]["action"] for _ in range(2)] == ["decline", "cancel"]


def test_the_flags_of_a_command_are_an_answer() -> None:
    assert answer_of(approve=None, reason="", answer="") is None
    assert answer_of(approve=True, reason="", answer="") == {"approve": True}
    assert answer_of(approve=False, reason="no", answer="") == {"approve": False, "reason": "no"}
    assert answer_of(approve=None, reason="", answer='[{"type": "accept"}]') == [{"type": "accept"}]
    assert parsed("false", "--answer") is False


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"approve": True, "answer": "true"}, "--answer says it all"),
        ({"reason": "no"}, "--reason goes with --deny"),
        ({"answer": "yes"}, "'yes' is not JSON"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(flags: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        answer_of(**{"approve": None, "reason": "", "answer": "", **flags})
