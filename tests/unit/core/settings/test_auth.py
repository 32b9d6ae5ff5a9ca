"""The section `auth` as people write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.settings import Section
from core.settings.auth import AuthSettings
from tests.kit.settings import ConfigFolder

OIDC = "oidc: {issuer: 'https://id.example', audience: [waystation]}"
PROXY = "proxy: {addresses: [10.0.0.0/8], secret: sixteen-characters-and-more}"


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    return ConfigFolder(tmp_path, [Section("auth", AuthSettings)])


def read(folder: ConfigFolder, text: str) -> AuthSettings:
    folder.write("waystation.yaml", f"auth: {{{text}}}")
    book, problems = folder.read()
    assert problems == []
    return book[AuthSettings]


def test_without_a_word_nobody_logs_in(folder: ConfigFolder) -> None:
    found = folder.read()[0][AuthSettings]
    assert (found.mode, found.logins, found.user, found.trust_everyone) == (
        "none",
        frozenset(),
        "local",
        False,
    )


@pytest.mark.parametrize(
    ("text", "logins"),
    [
        ("mode: none", set()),
        ("mode: keys", {"keys"}),
        ("mode: [keys]", {"keys"}),
        (f"mode: [keys, oidc, proxy], {OIDC}, {PROXY}", {"keys", "oidc", "proxy"}),
    ],
)
def test_a_mode_is_one_or_several(folder: ConfigFolder, text: str, logins: set[str]) -> None:
    assert read(folder, text).logins == logins


@pytest.mark.parametrize(
    ("text", "logins"), [("none", set()), ("keys", {"keys"}), ("keys,proxy", {"keys", "proxy"})]
)
def test_a_variable_may_name_the_modes(folder: ConfigFolder, text: str, logins: set[str]) -> None:
    folder.environ = {
        "WAYSTATION_AUTH__MODE": text,
        "WAYSTATION_AUTH__PROXY__ADDRESSES": "10.0.0.1",
        "WAYSTATION_AUTH__PROXY__SECRET": "sixteen-characters-and-more",
    }
    book, problems = folder.read()
    assert problems == []
    assert book[AuthSettings].logins == logins


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("mode: key", "did you mean 'keys'"),
        ("mode: [none, keys]", "auth.mode"),
        ("mode: []", "empty list"),
        ("mode: oidc", "needs oidc.issuer and oidc.audience"),
        ("mode: oidc, oidc: {issuer: 'https://id.example'}", "needs oidc.issuer and oidc.audience"),
        ("mode: oidc, oidc: {issuer: id.example, audience: [a]}", "must start with https://"),
        (f"mode: oidc, {OIDC[:-1]}, algorithms: [HS256]}}", "RS256"),
        (f"mode: oidc, {OIDC[:-1]}, algorithms: [none]}}", "RS256"),
        (f"mode: oidc, {OIDC[:-1]}, algorithms: []}}", "at least 1"),
        ("mode: proxy, proxy: {secret: sixteen-characters-and-more}", "needs proxy.addresses"),
        ("mode: proxy, proxy: {addresses: [10.0.0.1], secret: short}", "at least 16 characters"),
        ("mode: proxy, proxy: {addresses: [somewhere], secret: sixteen-characters-and-more}", "somewhere"),
        ("proxy: {user_header: 'X User'}", "auth.proxy.user_header"),
        ("user: a b", "auth.user"),
        ("groups: ['a,b']", "auth.groups"),
        ("trust_everybody: true", "did you mean 'trust_everyone'"),
    ],
)
def test_what_would_let_in_nobody_or_anybody_is_an_error(folder: ConfigFolder, text: str, part: str) -> None:
    folder.write("waystation.yaml", f"auth: {{{text}}}")
    problems = folder.problems()
    assert any(part in problem for problem in problems), problems
    assert "short" not in str(problems)
