"""What MCP's clients keep for us, and what their people say, as ours."""

from __future__ import annotations

from typing import Any

import pytest

from server.protocols.mcp import people
from server.protocols.mcp.methods import can_elicit
from server.protocols.mcp.results import blob
from server.protocols.mcp.seals import Seals

SEALS = Seals(b"k" * 32)


def test_what_is_sealed_opens_for_its_owner_alone_and_as_what_it_is() -> None:
    sealed = SEALS.seal("state", "ada", {"run": "r_1"})
    assert SEALS.open("state", "ada", sealed) == {"run": "r_1"}
    assert SEALS.open("state", "eve", sealed) is None
    assert SEALS.open("session", "ada", sealed) is None
    assert Seals(b"x" * 32).open("state", "ada", sealed) is None


@pytest.mark.parametrize("sealed", ["", "A", "AAAA", "é", None, 5, "A" * 9000, "=" * 20])
def test_what_was_never_sealed_opens_nothing(sealed: object) -> None:
    assert SEALS.open("state", "ada", sealed) is None


def test_a_changed_letter_anywhere_opens_nothing() -> None:
    sealed = SEALS.seal("state", "ada", {"run": "r_1"})
    for place, letter in enumerate(sealed[:-1]):
        other = "B" if letter != "B" else "C"
        assert SEALS.open("state", "ada", sealed[:place] + other + sealed[place + 1 :]) is None


def accepted(**content: Any) -> dict[str, Any]:
    return {"action": "accept", "content": content}


@pytest.mark.parametrize(
    ("kind", "given", "answer"),
    [
        ("approval", accepted(approve=True), {"approve": True}),
        ("approval", accepted(approve=False, reason="no"), {"approve": False, "reason": "no"}),
        ("budget", accepted(approve=True), {"approve": True}),
        ("approval", accepted(), {"approve": False, "reason": "the form was sent back without a yes"}),
        ("approval", {"action": "cancel"}, {"approve": False, "reason": "the person closed the form"}),
        ("approval", None, {"approve": False, "reason": "the client could not ask its person"}),
        ("elicitation", accepted(nights=3), {"action": "accept", "content": {"nights": 3}}),
        ("elicitation", {"action": "cancel"}, {"action": "cancel"}),
        ("elicitation", {"action": "what"}, {"action": "decline"}),
        ("credential", accepted(credential="mail"), {"credential": "mail"}),
        ("credential", accepted(), {"decline": True}),
        ("credential", {"action": "decline"}, {"decline": True}),
    ],
)
def test_what_a_person_says_is_read_as_each_kind_takes_it(kind: str, given: Any, answer: Any) -> None:
    assert people.answer_to(kind, given) == answer


def test_each_kind_of_question_has_its_form() -> None:
    call = {"server": "mail", "tool": "send", "arguments": {"to": "ada"}}
    approval = people.form_of({"kind": "approval", "call": call, "detail": "May it?"})
    assert "mail.send(to='ada')" in approval["message"]
    assert list(approval["requestedSchema"]["properties"]) == ["approve", "reason"]
    schema = {"type": "object", "properties": {"nights": {"type": "integer"}}}
    asked = people.form_of({"kind": "elicitation", "detail": "How many?", "schema": schema})
    assert (asked["message"], asked["requestedSchema"]) == ("How many?", schema)
    assert people.form_of({"kind": "elicitation", "schema": None})["requestedSchema"]["properties"] == {}
    stored = people.form_of({"kind": "credential", "detail": "Which?"})
    assert list(stored["requestedSchema"]["properties"]) == ["credential"]


@pytest.mark.parametrize(
    ("capabilities", "can"),
    [
        ({"elicitation": {}}, True),
        ({"elicitation": {"form": {}, "url": {}}}, True),
        ({"elicitation": {"url": {}}}, False),
        ({"elicitation": None}, False),
        ({}, False),
        ("all", False),
    ],
)
def test_a_client_shows_forms_where_it_says_so(capabilities: Any, can: bool) -> None:
    assert can_elicit(capabilities) is can


@pytest.mark.parametrize(
    ("media", "kind"), [("image/png", "image"), ("audio/wav", "audio"), ("text/csv", "resource")]
)
def test_a_file_of_a_tool_is_a_part_of_the_answer(media: str, kind: str) -> None:
    part = blob("a b", media, b"x")
    assert part["type"] == kind
    if kind == "resource":
        assert part["resource"]["uri"] == "waystation://results/a%20b"
