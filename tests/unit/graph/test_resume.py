"""A person's answer finds the interrupt it is for, or says why not."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import InvalidInput
from graph.errors import NothingToResume
from graph.resume import answers_for

WAITING = [{"id": "i1"}, {"id": "i2"}]


def test_one_answer_counts_for_all_that_wait() -> None:
    assert answers_for({"approve": True}, WAITING) == {"i1": {"approve": True}, "i2": {"approve": True}}


def test_each_interrupt_may_have_its_own_answer() -> None:
    resume = {"i1": {"approve": True}, "i2": {"approve": False, "reason": "no"}}
    assert answers_for(resume, WAITING) == resume


@pytest.mark.parametrize(
    ("resume", "says"),
    [
        ({"i1": {"approve": True}}, "'i2' has no answer"),
        ({"i3": {"approve": True}}, "no interrupt 'i3'"),
        ({"approve": "yes"}, "an answer is"),
        ({"approve": True, "because": "x"}, "no key 'because'"),
        ({"approve": True, "reason": 3}, "reason must be text"),
        ({"i1": True, "i2": True}, "an answer is"),
    ],
)
def test_an_answer_of_the_wrong_form_is_refused(resume: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        answers_for(resume, WAITING)


def test_without_an_interrupt_there_is_nothing_to_resume() -> None:
    with pytest.raises(NothingToResume):
        answers_for({"approve": True}, [])
