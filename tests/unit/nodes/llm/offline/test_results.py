"""Results are stated plainly, and nothing is added."""

from __future__ import annotations

import pytest

from nodes.llm.offline.model import corrected, number_in, state


@pytest.mark.parametrize(
    ("arguments", "text", "said"),
    [
        ({"expression": "5 + 3"}, "8", "5 + 3 = 8"),
        ({"expression": "5 + 3"}, '{"result": 8}', "5 + 3 = 8"),
        ({"a": 5, "b": 3}, "8.0", "t (a 5, b 3): 8"),
        ({}, "It is noon.", "It is noon. (t)"),
        ({"zone": "UTC"}, "It is noon.", "It is noon. (t, zone UTC)"),
        ({}, "", "The tool t is done; it returned nothing."),
        ({}, "null", "The tool t is done; it returned nothing."),
        ({}, "true", "t: yes"),
        ({}, "[]", "t: nothing"),
        ({}, '{"rows": 4}', "t: rows: 4"),
        ({}, '{"a": 1, "b": null}', "t:\n- a: 1\n- b: "),
        ({}, '["x", "y"]', "t:\n- x\n- y"),
        ({}, '[{"r": "n", "s": 1.50}]', "t:\n| r | s |\n| --- | --- |\n| n | 1.5 |"),
        ({}, '{"f": "sum", "groups": {"n": 1, "s": 2.5}}', "t:\n- f: sum\n- groups:\n  - n: 1\n  - s: 2.5"),
        ({}, '{"results": {"n": 1}, "artifacts": [{"b64": "AAAA"}]}', "t: n: 1"),
        ({}, '{"n": 1, "rows": [{"a": "x|y"}]}', "t:\n- n: 1\n- rows:\n| a |\n| --- |\n| x\\|y |"),
    ],
)
def test_a_result_is_stated(arguments: dict[str, object], text: str, said: str) -> None:
    assert state("t", arguments, text, failed=False) == said


def test_an_error_is_said_as_one() -> None:
    assert state("t", {}, "division by zero", failed=True) == "The tool t reports an error: division by zero"
    assert "no reason" in state("t", {}, "", failed=True)


def test_long_results_say_that_they_are_cut() -> None:
    assert "and 5 more" in state("t", {}, str(list(range(25))), failed=False)
    assert state("t", {}, "word " * 5000, failed=False).count("(cut)") == 1


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("8", "8"),
        ("-2.50", "-2.5"),
        ('{"result": 8}', "8"),
        ('{"results": {"value": 3, "rows": 9}}', "3"),
        ('{"total": 3}', "3"),
        ('[{"total": 3}]', "3"),
        ('{"a": 3, "b": 4}', None),
        ("true", None),
        ("null", None),
        ("eight", None),
    ],
)
def test_the_number_of_a_result_is_found_when_it_is_just_one(text: str, number: str | None) -> None:
    assert number_in(text) == number


def test_an_error_that_names_the_right_word_corrects_the_arguments() -> None:
    error = "no column 'amounts'; columns: region, amount"
    assert corrected({"filename": "s.csv", "column": "amounts"}, error) == {
        "filename": "s.csv",
        "column": "amount",
    }
    assert corrected({"column": "Amount"}, "no 'Amount'; columns: amount") == {"column": "amount"}
    assert corrected({"column": "colour"}, "no column 'colour'; columns: region, amount") is None
    assert corrected({"n": 3}, "3 is too many") is None


def test_a_result_with_a_file_is_shown_as_fields_with_the_file_below() -> None:
    text = '{"groups": {"north": "12.5"}}\nFiles made: sum.csv'
    assert state("t", {}, text, failed=False) == "t:\ngroups:\n  - north: 12.5\n\nFiles made: sum.csv"
