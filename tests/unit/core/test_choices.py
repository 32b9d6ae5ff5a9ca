"""What a caller chooses is one value: read, checked, stored and shown from one declaration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_type_hints

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from core.access import Principal, RunContext, context_for
from core.choices import (
    CHOICES,
    Choices,
    Chosen,
    checked,
    choice,
    sampling_of,
    with_choices,
)
from core.errors import InvalidInput
from core.forms import client_tools_in

ALL = Choices(model="m", sources=["a"], tools=[], temperature=0.5, max_steps=3, approval="deny", top_p=0.9)
FIRST_RELEASE = {
    "model": "m",
    "sources": ["a"],
    "tools": None,
    "temperature": 0.5,
    "max_steps": 3,
    "approval": "deny",
}


def test_choices_come_back_from_json_as_they_were() -> None:
    assert Choices.of(ALL.as_json()) == ALL
    assert Choices.of(Choices().as_json()) == Choices()
    assert ALL.as_json()["sources"] == ["a"]


def test_what_an_earlier_release_stored_is_read_and_written_as_it_was() -> None:
    stored = {**FIRST_RELEASE, "message": "hi", "on_busy": "reject"}
    assert Choices.of(stored).as_json() == FIRST_RELEASE


def test_a_later_choice_is_written_only_where_it_is_made() -> None:
    assert "top_p" not in Choices().as_json()
    assert Choices(top_p=0.0).as_json()["top_p"] == 0


def test_blanks_choose_nothing_and_a_star_means_all() -> None:
    blank: dict[str, Any] = {"model": "", "approval": "", "temperature": None}
    assert Choices.of(blank) == Choices()
    assert Choices.of({"sources": ["*"], "tools": ["calculator", "*"]}) == Choices()
    assert Choices.of({"sources": []}).sources == ()


def test_keywords_of_functions_are_the_choices() -> None:
    assert list(Chosen.__annotations__) == list(CHOICES)
    assert get_type_hints(Chosen) == {k: v for k, v in get_type_hints(Choices).items() if k in CHOICES}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("top_p", 1.5, "top_p must be 0 to 1, not 1.5"),
        ("top_p", float("nan"), "top_p must be 0 to 1, not nan"),
        ("top_p", True, "top_p must be 0 to 1, not True"),
        ("temperature", "warm", "temperature must be a number, or null, not 'warm'"),
        ("max_steps", 201, "max_steps must be 1 to 200, not 201"),
        ("approval", None, "approval must be one of ask, auto, deny, not 'None'"),
        ("tools", "calculator", "tools must be a list of names, or null, not 'calculator'"),
        ("model", 5, "model must be text, not 5"),
        ("max_tokens", 0, "max_tokens must be 1 to 1e+07, not 0"),
        ("instructions", 5, "instructions must be text, or null, not 5"),
    ],
)
def test_what_is_out_of_its_kind_or_bounds_is_refused_by_name(name: str, value: Any, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked(Choices(**{name: value}))
    assert caught.value.detail == says
    with pytest.raises(InvalidInput):
        checked(RunContext(**{name: value}))


def test_a_text_has_a_longest_length() -> None:
    assert checked(Choices(instructions="x" * 16_000)).instructions
    with pytest.raises(InvalidInput, match="instructions must be text of at most 16000 characters, not 'xxx"):
        checked(Choices(instructions="x" * 16_001))


def test_bounds_of_now_are_told_where_they_are_narrower() -> None:
    with pytest.raises(InvalidInput, match="max_steps must be 1 to 25, not 26"):
        checked(Choices(max_steps=26), max_steps=25)


def test_a_dataclass_is_checked_where_its_fields_say_what_they_are() -> None:
    @dataclass
    class Wish:
        pace: float = field(default=1, metadata=choice(float, "How fast.", low=1, high=3))
        note: Any = None

    assert checked(Wish(pace=2, note=object())).pace == 2
    with pytest.raises(InvalidInput, match="pace must be 1 to 3, not 4"):
        checked(Wish(pace=4))


def test_the_context_of_a_run_carries_the_choices_and_who_asks() -> None:
    ada = Principal("ada", frozenset({"b", "a"}), frozenset({"inner"}))
    context = context_for(ALL, ada)
    assert (context.user, context.groups, context.levels) == ("ada", ["a", "b"], ["inner"])
    assert context.by_name() == ALL.by_name()


def test_a_form_of_the_context_says_what_each_choice_is() -> None:
    properties = TypeAdapter(RunContext).json_schema()["properties"]
    assert properties.keys() == {*CHOICES, "user", "groups", "levels"}
    assert all(each["description"] for each in properties.values())


def test_the_model_is_sent_what_was_chosen_of_it() -> None:
    assert sampling_of({"temperature": 0.0, "top_p": None, "max_steps": 3}) == {"temperature": 0.0}
    assert sampling_of({"max_tokens": 5, "instructions": "brief"}) == {"max_tokens": 5}
    assert sampling_of(ALL.as_json()) == {"temperature": 0.5, "top_p": 0.9}


def test_a_body_gets_a_field_for_each_choice_that_it_does_not_declare() -> None:
    @with_choices
    class Body(BaseModel):
        """A body."""

        approval: str = "deny"

    found = Body.model_validate({"top_p": 0.2, "sources": ["a"]})
    assert Choices.of(dict(found)) == Choices(top_p=0.2, sources=["a"], approval="deny")
    schema = Body.model_json_schema()
    assert schema["description"] == "A body."
    assert schema["properties"].keys() == CHOICES.keys()
    assert Choices.of(dict(Body.model_validate({"instructions": "x" * 300}))).instructions == "x" * 300
    for wrong in (
        {"top_p": 1.1},
        {"instructions": "x" * 16_001},
        {"max_tokens": 0},
        {"sources": [""]},
        {"model": "x" * 201},
        {"max_steps": 0},
    ):
        with pytest.raises(ValidationError):
            Body.model_validate(wrong)


def test_the_callers_own_tools_are_functions_with_a_name_each() -> None:
    given = '[{"type": "function", "function": {"name": "weather", "strict": true}}]'
    nothing = {"type": "object", "properties": {}}
    function = {"name": "weather", "description": "", "parameters": nothing}
    assert client_tools_in({"client_tools": given}) == [{"type": "function", "function": function}]
    assert client_tools_in({}) == []
    assert checked(Choices(client_tools=given)).client_tools == given


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("{", "must be JSON"),
        ("{}", "must be a list of at most 128"),
        ("[5]", "client_tools.0 must be"),
        ('[{"type": "custom", "function": {"name": "f"}}]', "client_tools.0 must be"),
        ('[{"function": {"name": "no spaces"}}]', "its name must be"),
        ('[{"function": {"name": "f", "parameters": []}}]', "parameters a JSON schema"),
        ('[{"function": {"name": "f"}}, {"function": {"name": "f"}}]', "two functions are called 'f'"),
    ],
)
def test_what_is_no_list_of_functions_is_refused(given: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        checked(Choices(client_tools=given))
