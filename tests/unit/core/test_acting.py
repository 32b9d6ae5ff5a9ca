"""Whoever asks in another's name."""

from __future__ import annotations

import pytest

from core.access import Principal, ScopeMissing
from core.errors import InvalidInput
from core.identity.acting import acting_for
from core.settings.auth import Person

BACKEND = Principal(
    "backend", frozenset({"staff", "hr"}), frozenset({"internal"}), frozenset({"use", "act_as"})
)
PEOPLE = {
    "ada": Person(groups=["staff", "board"], levels=["*"]),
    "bob": Person(groups=["hr"], levels=["internal", "secret"]),
    "*": Person(groups=["hr"]),
}


def test_a_user_has_the_rights_that_they_have_and_the_caller_has_too() -> None:
    ada = acting_for(BACKEND, "ada", PEOPLE)
    assert ada.id == "ada"
    assert (sorted(ada.groups), sorted(ada.levels)) == (["staff"], ["internal"])
    assert ada.scopes == {"use"}
    bob = acting_for(BACKEND, "bob", PEOPLE)
    assert (sorted(bob.groups), sorted(bob.levels)) == (["hr"], ["internal"])
    everywhere = Principal("backend", BACKEND.groups, frozenset({"*"}), BACKEND.scopes)
    assert acting_for(everywhere, "bob", PEOPLE).levels == {"internal", "secret"}


def test_of_whom_nothing_is_known_sees_what_everybody_else_sees() -> None:
    assert acting_for(BACKEND, "cy", PEOPLE).groups == {"hr"}
    nobody = acting_for(BACKEND, "cy", {})
    assert (nobody.groups, nobody.levels) == (frozenset(), frozenset())


def test_one_may_always_ask_for_oneself() -> None:
    ada = Principal("ada", frozenset({"staff"}), frozenset(), frozenset({"use"}))
    assert acting_for(ada, "", PEOPLE) is ada
    assert acting_for(ada, "ada", PEOPLE) is ada


def test_for_others_only_with_the_scope_and_for_users_only() -> None:
    ada = Principal("ada", frozenset({"staff"}), frozenset(), frozenset({"use", "operate"}))
    with pytest.raises(ScopeMissing, match="act_as"):
        acting_for(ada, "bob", PEOPLE)
    with pytest.raises(InvalidInput, match="cannot be a user"):
        acting_for(BACKEND, "no user", PEOPLE)
