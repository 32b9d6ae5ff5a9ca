"""Answers to a server's question must fit its form, and answer that question only."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import InvalidInput
from graph.service.answers import answers_for

FORM = {
    "type": "object",
    "properties": {"nights": {"type": "integer", "minimum": 1}, "breakfast": {"type": "boolean"}},
    "required": ["nights"],
}
WAITING: list[dict[str, Any]] = [
    {"id": "e", "kind": "elicitation", "schema": FORM, "asked": "f00d"},
    {"id": "a", "kind": "approval"},
]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (
            {"action": "accept", "content": {"nights": 2, "breakfast": True}},
            {"action": "accept", "content": {"nights": 2, "breakfast": True}},
        ),
        ({"action": "decline"}, {"action": "decline"}),
        ({"action": "cancel"}, {"action": "cancel"}),
        (
            {"decisions": [{"type": "edit", "edited_action": {"name": "book", "args": {"nights": 2}}}]},
            {"action": "accept", "content": {"nights": 2}},
        ),
        ({"decisions": [{"type": "reject", "message": "no"}]}, {"action": "decline"}),
    ],
)
def test_an_answer_says_which_question_it_answers(given: dict[str, Any], read: dict[str, Any]) -> None:
    resume = {"e": given, "a": {"approve": True}}
    assert answers_for(resume, WAITING) == {"e": {**read, "asked": "f00d"}, "a": {"approve": True}}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"action": "accept", "content": {"nights": "two"}}, "'nights': 'two' is not of type 'integer'"),
        ({"action": "accept", "content": {"nights": 0}}, "'nights': 0 is less than the minimum of 1"),
        ({"action": "accept"}, "'nights' is a required property"),
        ({"action": "accept", "content": {"nights": {"from": 1}}}, "'nights' must be text, a number"),
        ({"action": "accept", "content": {"nights": [1]}}, "'nights' must be text, a number"),
        ({"decisions": [{"type": "approve"}]}, "'nights' is a required property"),
        (
            {"decisions": [{"type": "dance"}]},
            "type: 'dance' is no decision here; use one of approve, edit, reject",
        ),
        ({"decisions": []}, "there are 0 decisions for one action"),
        ({"action": "accept", "asked": "f00d"}, "an answer has no key 'asked'"),
    ],
)
def test_what_does_not_fit_the_form_is_refused_and_says_why(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=f"interrupt 'e': .*{says}"):
        answers_for({"e": given}, WAITING)
