"""A person's answers find the interrupts they are for, or say why not."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import InvalidInput
from graph.errors import NothingToResume
from graph.service.answers import answers_for

WAITING = [{"id": "i1"}, {"id": "i2"}]
KINDS = [
    {"id": "a", "kind": "approval"},
    {"id": "e", "kind": "elicitation"},
    {"id": "b", "kind": "budget"},
    {"id": "c", "kind": "credential"},
    {"id": "x", "kind": "seance"},
]


def test_one_answer_counts_for_all_that_wait() -> None:
    assert answers_for({"approve": True}, WAITING) == {"i1": {"approve": True}, "i2": {"approve": True}}


def test_one_answer_for_all_also_counts_for_budgets() -> None:
    waiting = [{"id": "i1", "kind": "approval"}, {"id": "i2", "kind": "budget"}]
    no = {"approve": False, "reason": "too much"}
    assert answers_for(no, waiting) == {"i1": no, "i2": no}


def test_each_interrupt_may_have_its_own_answer() -> None:
    resume = {"i1": {"approve": True}, "i2": {"approve": False, "reason": "no"}}
    assert answers_for(resume, WAITING) == resume


@pytest.mark.parametrize("answered", ["i1", "i2"])
def test_any_of_them_may_be_answered_and_the_rest_keep_waiting(answered: str) -> None:
    resume = {answered: {"approve": True}}
    assert answers_for(resume, WAITING) == resume


@pytest.mark.parametrize(
    "resume",
    [
        {"a": {"approve": True}},
        {"a": {"approve": False, "reason": "no"}},
        {"e": {"action": "accept", "content": {"name": "Ada"}}},
        {"e": {"action": "accept"}},
        {"e": {"action": "decline"}, "b": {"approve": True, "limit": 2.5}},
        {"b": {"approve": False, "reason": "enough"}},
        {"c": {"credential": "github"}},
        {"c": {"decline": True}},
        {"x": {"knocks": 3}},
        {"x": {}},
    ],
)
def test_each_kind_has_its_own_form(resume: dict[str, Any]) -> None:
    assert answers_for(resume, KINDS) == resume


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"decisions": [{"type": "approve"}]}, {"approve": True}),
        ({"decisions": [{"type": "reject", "message": "no"}]}, {"approve": False, "reason": "no"}),
        ({"type": "accept", "args": None}, {"approve": True}),
        ({"type": "ignore", "args": None}, {"approve": False}),
    ],
)
def test_an_approval_may_be_answered_in_the_standard_form(
    given: dict[str, Any], read: dict[str, Any]
) -> None:
    assert answers_for({"a": given}, KINDS) == {"a": read}


@pytest.mark.parametrize(
    ("resume", "says"),
    [
        ({"i3": {"approve": True}}, "no interrupt 'i3' waits; waiting: i1, i2; answer by id"),
        ({}, "no answer is given"),
        ({"approve": "yes"}, "interrupt 'i1': approve must be true or false; an answer is"),
        ({"approve": True, "because": "x"}, "interrupt 'i1': an answer has no key 'because'; known: approve"),
        ({"approve": True, "reason": 3}, "interrupt 'i1': reason must be text"),
        ({"i1": "yes", "i2": True}, "interrupt 'i1': an answer is"),
        ({"i1": {}}, "interrupt 'i1': approve must be"),
        ({"i1": {"decisions": []}}, "interrupt 'i1': there are 0 decisions for one action"),
    ],
)
def test_an_answer_of_the_wrong_form_is_refused(resume: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        answers_for(resume, WAITING)


@pytest.mark.parametrize(
    ("resume", "says"),
    [
        ({"approve": True}, "interrupt 'e' is of kind elicitation, for which approve is no answer"),
        ({"e": {"action": "maybe"}}, "interrupt 'e': action must be one of accept, decline, cancel"),
        ({"e": {"action": "accept", "content": "Ada"}}, "interrupt 'e': content must be an object"),
        ({"e": {"action": "cancel", "content": {}}}, "interrupt 'e': content goes with the action accept"),
        ({"b": {"approve": True, "limit": "much"}}, "interrupt 'b': limit must be a number"),
        ({"b": {"approve": True, "limit": True}}, "interrupt 'b': limit must be a number"),
        ({"b": {"approve": True, "limit": 0}}, "interrupt 'b': limit must be a number above 0"),
        ({"b": {"limit": 5}}, "interrupt 'b': approve must be true or false"),
        ({"c": {}}, "interrupt 'c': give one of credential and decline"),
        ({"c": {"credential": "x", "decline": True}}, "interrupt 'c': give one of credential and decline"),
        ({"c": {"decline": False}}, "interrupt 'c': decline must be true"),
        ({"c": {"credential": 5}}, "interrupt 'c': credential must be text"),
        ({"c": {"credential": ""}}, "interrupt 'c': credential must be the name"),
        ({"x": [1]}, "interrupt 'x': an answer is a JSON object"),
    ],
)
def test_an_error_names_the_interrupt_the_key_and_the_remedy(resume: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        answers_for(resume, KINDS)


def test_without_an_interrupt_there_is_nothing_to_resume() -> None:
    with pytest.raises(NothingToResume):
        answers_for({"approve": True}, [])
