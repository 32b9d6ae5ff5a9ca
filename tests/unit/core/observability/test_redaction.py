from __future__ import annotations

import time
from collections import UserDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from core.observability import clean, never_log
from core.observability.redaction import REDACTED, names_secret, redact


def redacted(**event: Any) -> dict[str, Any]:
    return dict(redact(None, "info", event))


@pytest.mark.parametrize(
    "key",
    [
        *(
            "api_key",
            "apiKey",
            "OPENAI_API_KEY",
            "X-Api-Key",
            "apikey",
            "authorization",
            "Proxy-Authorization",
        ),
        *(
            "password",
            "db_password",
            "passwd",
            "secret",
            "clientSecret",
            "secret_key",
            "aws_secret_access_key",
        ),
        *(
            "token",
            "access_token",
            "refreshToken",
            "cookie",
            "Set-Cookie",
            "private_key",
            "credentials",
            "dsn",
        ),
    ],
)
def test_a_value_under_a_key_that_names_a_secret_is_hidden(key: str) -> None:
    assert redacted(**{key: "plainvalue"})[key] == REDACTED


@pytest.mark.parametrize(
    "key",
    [
        "key",
        "event",
        "input_tokens",
        "output_tokens",
        "token_type",
        "max_tokens",
        "cache_key",
        "author",
        "",
        "12",
    ],
)
def test_a_key_that_only_sounds_similar_keeps_its_value(key: str) -> None:
    assert not names_secret(key)
    assert redacted(**{key: 42})[key] == 42


def test_none_and_switches_are_shown_under_any_key() -> None:
    assert redacted(api_key=None, token=False) == {"api_key": None, "token": False}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("got 401 with Bearer abc.DEF-123_456", "got 401 with Bearer ***"),
        ("header Basic dXNlcjpwYXNzd29yZA==", "header Basic ***"),
        ("Authorization: Digest username=x", "Authorization: ***"),
        ("{'authorization': 'Bearer abcdefgh'}", "{'authorization': '***'}"),
        ("cookie: session=abc; theme=dark", "cookie: ***"),
        ("key sk-proj-abcdEFGH1234 is wrong", "key sk-*** is wrong"),
        ("wsk_live_0123456789abcdef", "wsk_***"),
        ("whsec_0123456789abcdef", "whsec_***"),
        ("ghp_0123456789abcdefghij", "ghp_***"),
        ("postgresql://way:s3cr3t@db:5432/x", "postgresql://way:***@db:5432/x"),
        ("redis://:s3c@r3t@cache:6379/0", "redis://:***@cache:6379/0"),
        ("AKIAIOSFODNN7EXAMPLE refused", "AKIA*** refused"),
        ("GET /x?page=2&sig=abcdef&n=1", "GET /x?page=2&sig=***&n=1"),
        ("GET /x?X-Amz-Signature=0f0f&a=1", "GET /x?X-Amz-Signature=***&a=1"),
        ("GET /files/link/abc.def/x", "GET /files/link/***/x"),
        ('{"api_key": "abc123", "model": "m"}', '{"api_key": "***", "model": "m"}'),
        ("OPENAI_API_KEY=abc123 make run", "OPENAI_API_KEY=*** make run"),
        ("Model(api_key=SecretStr('abc123'), name='m')", "Model(api_key=SecretStr('***'), name='m')"),
        ("jwt eyJhbGciOiJSUzI1.eyJzdWIiOiJh.c2lnbmF0 end", "jwt *** end"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----", "***"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_inside_a_text(text: str, shown: str) -> None:
    assert clean(text) == shown
    assert clean(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "basic retrieval of passages",
        "the task-runner and the risk-manager",
        "http://127.0.0.1:8000/agent?page=2",
        "mail ada@example.com at 10:30",
        "used 12 tokens of 4096",
        "the file f_sXtbCziuPFCS7WBQAfwwPMUa",
        "SecretStr('**********')",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert clean(text) == text


def test_secrets_are_found_in_lists_and_mappings_at_any_depth() -> None:
    found = redacted(
        call={"url": "redis://:pw1234@h/0", "headers": [{"X-Api-Key": "abc"}, ("Bearer abcdefgh", 5)]},
        other=UserDict({"password": "x"}),
    )
    assert found == {
        "call": {"url": "redis://:***@h/0", "headers": [{"X-Api-Key": "***"}, ["Bearer ***", 5]]},
        "other": {"password": "***"},
    }


def test_what_holds_itself_is_cut_off() -> None:
    loop: dict[str, Any] = {"name": "loop"}
    loop["again"] = loop
    assert "'again': '...'" in str(redacted(loop=loop))


def test_an_object_is_shown_without_what_its_repr_tells() -> None:
    class Client:
        def __repr__(self) -> str:
            return "<Client token=abcdef123>"

    found = redacted(client=Client(), hidden=SecretStr("abcdef"), count=3, ratio=0.5)
    assert found["client"] == "<Client token=***>"
    assert "abcdef" not in str(found)
    assert (found["count"], found["ratio"]) == (3, 0.5)


def test_a_registered_secret_is_hidden_wherever_it_stands() -> None:
    never_log("correct horse/battery")
    never_log("correct horse/battery staple")
    never_log("correct horse/battery")
    assert clean("said 'correct horse/battery staple'!") == "said '***'!"
    assert clean("?q=correct%20horse%2Fbattery&n=1") == "?q=***&n=1"


def test_a_registered_secret_of_a_few_letters_hides_no_words() -> None:
    never_log("the")
    assert clean("the other theory") == "the other theory"


def test_a_very_long_text_is_cut_and_no_secret_with_it() -> None:
    whole = redacted(body="x " * 16_380 + "sk-0123456789abcdef" + " y" * 100_000)["body"]
    assert len(whole) < 33_000
    assert "sk-0" not in whole
    assert whole.endswith("characters)")


@pytest.mark.parametrize(
    "piece",
    ["a", "token_", "eyJ-", "://a:", "basic a", "-----BEGIN PRIVATE KEY-----", "key a-", "password  "],
)
def test_hostile_text_costs_no_more_than_its_length(piece: str) -> None:
    started = time.perf_counter()
    redacted(text=piece * (2_000_000 // len(piece)))
    assert time.perf_counter() - started < 5


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N"]), min_size=12, max_size=40))
def test_no_key_of_any_form_survives(secret: str) -> None:
    for text in (f"Bearer {secret}", f"sk-{secret}", f"redis://u:{secret}@h", f"password={secret}"):
        assert secret not in clean(text)
