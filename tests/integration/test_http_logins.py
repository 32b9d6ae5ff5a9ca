"""Tokens of an issuer and a proxy in front, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from tests.kit.http import assert_problem, client_of, served
from tests.kit.oidc_server import AUDIENCE, OidcServer
from waystation.testing.agents import open_agent

SECRET = "the-secret-of-the-proxy"
PUBLIC = "https://agent.example.com"
PROXIED = {"x-proxy-secret": SECRET, "x-forwarded-user": "ada", "x-forwarded-groups": "staff"}


@dataclass(frozen=True)
class Opened:
    """A service that takes tokens and believes a proxy on loopback."""

    issuer: OidcServer
    http: httpx.AsyncClient


@pytest.fixture(scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Opened]:
    async with OidcServer() as issuer:
        auth = {
            "mode": ["oidc", "proxy"],
            "oidc": {"issuer": issuer.url, "audience": [AUDIENCE], "scopes_claim": "scope"},
            "proxy": {"addresses": ["127.0.0.1"], "secret": SECRET},
        }
        folder = tmp_path_factory.mktemp("logins")
        async with (
            open_agent(folder, auth=auth, server={"public_url": PUBLIC}) as agent,
            served(agent) as base,
            client_of(base) as http,
        ):
            yield Opened(issuer, http)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_a_token_opens_what_its_scopes_cover(opened: Opened) -> None:
    token = bearer(opened.issuer.token(scope="openid use"))
    assert (await opened.http.get("/threads", headers=token)).status_code == 200
    assert_problem(await opened.http.get("/metrics", headers=token), 403, "scope_missing")
    none = bearer(opened.issuer.token())
    assert_problem(await opened.http.get("/threads", headers=none), 403, "scope_missing")


async def test_a_wrong_token_is_a_401_that_says_so(opened: Opened) -> None:
    answer = await opened.http.get("/threads", headers=bearer(opened.issuer.token(aud="another")))
    assert_problem(answer, 401, "not_authenticated")
    assert answer.headers["www-authenticate"] == 'Bearer realm="waystation", error="invalid_token"'


async def test_while_the_issuer_is_away_known_keys_go_on_and_others_hear_503(opened: Opened) -> None:
    token = bearer(opened.issuer.token(scope="use"))
    await opened.http.get("/threads", headers=token)
    await opened.issuer.stop()
    try:
        assert (await opened.http.get("/threads", headers=token)).status_code == 200
    finally:
        await opened.issuer.start()


async def test_an_issuer_that_never_answered_is_a_503(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with OidcServer() as issuer:
        auth = {"mode": "oidc", "oidc": {"issuer": issuer.url, "audience": [AUDIENCE]}}
        token = bearer(issuer.token())
        await issuer.stop()
        async with (
            open_agent(tmp_path_factory.mktemp("away"), auth=auth) as agent,
            served(agent) as base,
            client_of(base) as http,
        ):
            answer = await http.get("/threads", headers=token)
            assert_problem(answer, 503, "identity_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            assert issuer.url not in answer.text


async def test_a_proxy_names_its_users(opened: Opened) -> None:
    made = await opened.http.post("/threads", json={"thread_id": "by-proxy"}, headers=PROXIED)
    assert made.status_code == 201
    other = {**PROXIED, "x-forwarded-user": "bob"}
    assert_problem(await opened.http.get("/threads/by-proxy", headers=other), 404, "thread_not_found")


@pytest.mark.parametrize("missing", ["x-proxy-secret", "x-forwarded-user"])
async def test_half_of_the_proxys_word_is_none(opened: Opened, missing: str) -> None:
    half = {name: value for name, value in PROXIED.items() if name != missing}
    assert_problem(await opened.http.get("/threads", headers=half), 401, "not_authenticated")


async def test_behind_a_proxy_only_the_services_own_pages_may_post(opened: Opened) -> None:
    for origin in ("https://evil.example", "http://agent.example.com", "null"):
        answer = await opened.http.post("/threads", json={}, headers={**PROXIED, "origin": origin})
        assert_problem(answer, 403, "host_refused")
    own = {**PROXIED, "origin": PUBLIC, "host": "inner:8000"}
    assert (await opened.http.post("/threads", json={}, headers=own)).status_code == 201


async def test_headers_that_came_twice_let_nobody_in(opened: Opened) -> None:
    twice = [*PROXIED.items(), ("X-Forwarded-User", "root")]
    assert_problem(await opened.http.get("/threads", headers=twice), 401, "not_authenticated")
