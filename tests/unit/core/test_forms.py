"""The form that an answer has to have, as callers write it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.choices import Choices, checked
from core.errors import InvalidInput
from core.forms import ResponseFormat, response_format_in

AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


def read(given: Any) -> ResponseFormat | None:
    return response_format_in({"response_format": given if isinstance(given, str) else json.dumps(given)})


def named(**more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "age", "schema": AGE, **more}}


def test_a_form_is_read_and_sent_on_as_it_was_asked_for() -> None:
    assert read({"type": "text"}) is None
    assert response_format_in({}) is None
    assert read({"type": "json_object"}) == ResponseFormat()
    assert ResponseFormat().as_sent() == {"type": "json_object"}
    for more in ({}, {"strict": True}, {"strict": False, "description": "How old."}):
        found = read(named(**more))
        assert found is not None
        assert (found.kind, found.as_sent()) == ("json_schema", named(**more))
    assert read(named(schema=None)) == ResponseFormat()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("json_object", "must be JSON, such as"),
        ("[" * 100_000, "must be JSON"),
        ([], "response_format.type must be one of text, json_object, json_schema"),
        ({"type": "grammar"}, "response_format.type must be one of"),
        ({"type": "json_schema"}, "response_format.json_schema must be an object with name and schema"),
        (named(name="no spaces"), "response_format.json_schema.name must be 1 to 64"),
        (named(name=None), "response_format.json_schema.name must be"),
        (named(strict="yes"), "strict is true or false"),
        (named(description=5), "description a text"),
        (named(schema=[]), "response_format.json_schema.schema must be a JSON schema, an object"),
        (named(schema={"type": "objekt"}), "schema cannot be used: 'objekt' is not valid"),
        (named(schema={"$ref": "https://example.com/x"}), "schema cannot be used: "),
        (named(schema={"$ref": "#/$defs/none"}), "schema cannot be used: "),
        (named(schema={"$ref": "#"}), "schema cannot be used: "),
    ],
)
def test_what_is_no_form_is_refused_with_its_place(given: Any, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(given)
    assert says in caught.value.detail
    text = given if isinstance(given, str) else json.dumps(given)
    with pytest.raises(InvalidInput):
        checked(Choices(response_format=text))


def test_a_list_of_stops_is_texts_and_a_star_among_them_is_a_star() -> None:
    assert Choices.of({"stop": ["*", "."]}).stop == ("*", ".")
    assert checked(Choices(stop=["a", "b", "c", "d"])).stop == ("a", "b", "c", "d")
    for wrong in (["a"] * 5, [""], ["x" * 201]):
        with pytest.raises(InvalidInput, match="stop must be a list of at most 4 texts, each of 1 to 200"):
            checked(Choices(stop=wrong))
    with pytest.raises(InvalidInput, match="parallel_tool_calls must be true or false"):
        checked(Choices(parallel_tool_calls=1))  # type: ignore[arg-type]
