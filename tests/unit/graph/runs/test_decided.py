"""What is kept of a person's answers: that they were given, by whom, and nothing of what a form held."""

from __future__ import annotations

from typing import Any

import pytest

from graph.runs.decided import DETAIL_CHARACTERS, noted

CALL = {"id": "c1", "server": "clock", "tool": "now", "arguments": {"pin": "1234"}}


def one(question: dict[str, Any], answer: Any) -> dict[str, Any]:
    (found,) = noted([{"id": "i1", **question}, {"id": "i2"}], {"i1": answer}, by="ada", at=7.0)
    assert (found.pop("id"), found.pop("by"), found.pop("at")) == ("i1", "ada", 7.0)
    return found


@pytest.mark.parametrize(
    ("answer", "type_"),
    [
        ({"approve": True, "asked": "x"}, "approve"),
        ({"approve": True, "arguments": {"zone": "UTC"}}, "edit"),
        ({"approve": False, "reason": "no"}, "reject"),
        ({"respond": "noon"}, "respond"),
    ],
)
def test_of_an_approval_the_decision_is_kept(answer: dict[str, Any], type_: str) -> None:
    call = {"id": "c1", "server": "clock", "tool": "now"}
    assert one({"kind": "approval", "call": CALL}, answer) == {
        "kind": "approval",
        "type": type_,
        "call": call,
    }


@pytest.mark.parametrize(
    ("kind", "answer", "type_", "fields"),
    [
        ("elicitation", {"action": "accept", "content": {"pin": "1234", "a": 1}}, "accept", ["a", "pin"]),
        ("elicitation", {"action": "decline", "content": {"pin": "1234"}}, "decline", []),
        ("elicitation", {"action": "cancel"}, "cancel", []),
        ("budget", {"approve": True, "limit": 1234}, "approve", []),
        ("budget", {"approve": False}, "reject", []),
        ("credential", {"credential": "1234"}, "accept", []),
        ("credential", {"decline": True}, "decline", []),
        ("of_a_step", {"pin": "1234"}, "answer", ["pin"]),
        ("of_a_step", ["1234"], "answer", []),
    ],
)
def test_of_a_form_only_the_names_of_its_fields_are_kept(
    kind: str, answer: Any, type_: str, fields: list[str]
) -> None:
    found = one({"kind": kind, "detail": "How many?" * 200}, answer)
    assert found.pop("detail") == ("How many?" * 200)[:DETAIL_CHARACTERS]
    assert found == {"kind": kind, "type": type_, "fields": fields}


@pytest.mark.parametrize(
    ("waiting", "answers"), [(None, {"i1": True}), ([{"id": "i2"}], {"i1": True}), ([], None)]
)
def test_where_nobody_was_asked_nothing_was_decided(waiting: Any, answers: Any) -> None:
    assert noted(waiting, answers, by="ada", at=7.0) == []
