from __future__ import annotations

import pytest

from core.settings import ConfigErrors, ConfigProblem, masked, nearest
from core.settings.problems import dotted, redacted


def test_a_problem_reads_place_key_message_value_remedy() -> None:
    whole = ConfigProblem("a.yaml", "must be text", "x.y", 3, "5", "put it in quotes")
    assert str(whole) == "a.yaml:3: x.y: must be text (got 5); put it in quotes"
    assert str(ConfigProblem("a.yaml", "is empty")) == "a.yaml: is empty"


def test_all_problems_travel_in_one_error() -> None:
    error = ConfigErrors([ConfigProblem("a", "x"), ConfigProblem("b", "y")])
    assert error.detail == "a: x\nb: y"
    assert error.code == "config_invalid"


@pytest.mark.parametrize(
    ("typed", "known", "meant"),
    [
        ("prt", ["port", "host"], "port"),
        ("Mcpservers", ["mcpServers"], "mcpServers"),
        ("zebra", ["port"], None),
        ("x", [], None),
    ],
)
def test_the_nearest_name_is_found_whatever_its_case(typed: str, known: list[str], meant: str | None) -> None:
    assert nearest(typed, known) == meant


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        (("api_key",), "sk-1", "***"),
        (("models", "m", "extra_headers", "X-Anything"), "v", "***"),
        (("servers", "s", "env", "HOME"), "/root", "***"),
        (("db", "password"), 5, "***"),
        (("max_tokens",), "many", "'many'"),
        (("api_key_source",), "sytem", "'sytem'"),
        (("jira-token", "port"), "x", "'x'"),
        (("url",), "ftp://ada:pw@host/x?sig=1", "'ftp://***@host/x?***'"),
        (("args", 0), "--api-key=sk-1", "'--api-key=***'"),
        (("port",), None, "nothing"),
        (("port",), [1], "a list"),
        (("port",), {"a": 1}, "a mapping"),
        (("name",), "x" * 100, "'" + "x" * 58 + "…"),
    ],
)
def test_values_are_shown_without_secrets(path: tuple[str | int, ...], value: object, shown: str) -> None:
    assert masked(path, value) == shown


def test_text_is_redacted_where_a_token_stands() -> None:
    assert redacted("Authorization: Bearer abc") == "Authorization: Bearer ***"
    assert redacted("nothing here") == "nothing here"


def test_strange_keys_fit_one_line() -> None:
    assert dotted(("a\nb", 0, "c" * 100)) == "a\\nb.0." + "c" * 59 + "…"
