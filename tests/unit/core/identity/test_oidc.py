"""Tokens of an issuer: only whole, timely ones that were made for us."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from core.access import Principal
from core.identity.authenticator import Credentials
from core.identity.errors import IdentityUnavailable, NotAuthenticated
from core.identity.issuer import IssuerKeys
from core.identity.oidc import OidcLogin, claim
from core.settings.auth import OidcSettings
from tests.kit.oidc_server import OidcServer

pytestmark = pytest.mark.slow

HANG_S = 2.0
USE = frozenset({"use"})


@asynccontextmanager
async def login(
    settings: OidcSettings, *, deadline_s: float = 5, retry_s: float = 0, fresh_s: float = 600
) -> AsyncIterator[OidcLogin]:
    keys = IssuerKeys(settings, deadline_s=deadline_s, retry_s=retry_s, fresh_s=fresh_s)
    try:
        yield OidcLogin(settings, keys)
    finally:
        await keys.aclose()


async def who(given: OidcLogin, token: str) -> Principal | None:
    return await given.principal(Credentials({"authorization": f"Bearer {token}"}))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_a_token_tells_who_its_bearer_is(issuer: OidcServer, algorithm: str) -> None:
    async with login(issuer.settings()) as here:
        found = await who(here, issuer.token(algorithm=algorithm, sub="auth0|ada+1", groups=["staff", "a b"]))
    assert found == Principal("auth0|ada+1", frozenset({"staff", "a b"}), scopes=USE)
    assert issuer.requests == {"/.well-known/openid-configuration": 1, "/jwks": 1}


async def test_the_settings_say_which_claims_hold_what(issuer: OidcServer) -> None:
    settings = issuer.settings(
        user_claim="email",
        groups_claim="realm_access.roles",
        levels_claim="clearance",
        scopes_claim="scope",
        jwks_url=f"{issuer.url}/jwks",
    )
    token = issuer.token(
        email="ada@example.com",
        realm_access={"roles": ["staff"]},
        clearance="secret,internal",
        scope="openid operate use",
    )
    async with login(settings) as here:
        assert await who(here, token) == Principal(
            "ada@example.com",
            frozenset({"staff"}),
            frozenset({"secret", "internal"}),
            frozenset({"use", "operate"}),
        )
        assert await who(here, issuer.token(email="bob")) == Principal("bob")
    assert issuer.requests == {"/jwks": 1}


def unsigned(token: str, **header: str) -> str:
    head = base64.urlsafe_b64encode(json.dumps({"typ": "JWT", **header}).encode()).rstrip(b"=").decode()
    return f"{head}.{token.split('.')[1]}."


NOW = int(time.time())
WRONG: dict[str, dict[str, Any]] = {
    "of another issuer": {"iss": "https://evil.example"},
    "for somebody else": {"aud": "another"},
    "expired": {"iat": NOW - 500, "exp": NOW - 120},
    "not yet valid": {"nbf": NOW + 50_000},
    "from the future": {"iat": NOW + 50_000},
    "without an end": {"without": ("exp",)},
    "without an issuer": {"without": ("iss",)},
    "for nobody": {"without": ("aud",)},
    "without a user": {"without": ("sub",)},
    "with a user that cannot be one": {"sub": "ada lovelace"},
    "with a user that is no text": {"sub": 7},
    "with a key that is not the issuer's": {"headers": {"kid": "made-up"}},
    "signed by somebody else": {"key": rsa.generate_private_key(65537, 2048)},
    "signed by a key of another kind": {
        "algorithm": "ES256",
        "key": ec.generate_private_key(ec.SECP256R1()),
    },
    "of an algorithm that is not listed": {
        "algorithm": "RS512",
        "key": rsa.generate_private_key(65537, 2048),
    },
    "signed with a shared secret": {"algorithm": "HS256", "key": "k" * 64},
}


@pytest.mark.parametrize("kind", WRONG)
async def test_a_token_is_refused(issuer: OidcServer, kind: str) -> None:
    async with login(issuer.settings()) as here:
        with pytest.raises(NotAuthenticated) as caught:
            await who(here, issuer.token(**WRONG[kind]))
    assert caught.value.given
    assert "example" not in caught.value.detail


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", ""])
async def test_a_token_without_a_true_signature_is_refused(issuer: OidcServer, algorithm: str) -> None:
    kid = issuer.kid("RS256")
    async with login(issuer.settings()) as here:
        with pytest.raises(NotAuthenticated):
            await who(here, unsigned(issuer.token(), alg=algorithm, kid=kid))


async def test_a_changed_token_is_refused(issuer: OidcServer) -> None:
    head, _, signature = issuer.token().split(".")
    payload = issuer.token(sub="root").split(".")[1]
    async with login(issuer.settings()) as here:
        for broken in (f"{head}.{payload}.{signature}", "a.b.c", "..", f"{head}.{'x' * 40_000}.{signature}"):
            with pytest.raises(NotAuthenticated):
                await who(here, broken)


async def test_what_is_no_token_is_left_to_others(issuer: OidcServer) -> None:
    async with login(issuer.settings()) as here:
        assert await who(here, "wsk_abc") is None
        assert await here.principal(Credentials({})) is None
    assert not issuer.requests


async def test_clocks_may_differ_a_little(issuer: OidcServer) -> None:
    token = issuer.token(iat=NOW - 100, exp=int(time.time()) - 5)
    async with login(issuer.settings(leeway_s=30)) as here:
        assert await who(here, token)
    async with login(issuer.settings(leeway_s=0)) as here:
        with pytest.raises(NotAuthenticated):
            await who(here, token)


async def test_new_keys_of_the_issuer_are_found(issuer: OidcServer) -> None:
    async with login(issuer.settings()) as here:
        assert await who(here, issuer.token())
        old = issuer.token()
        issuer.rotate()
        assert await who(here, issuer.token())
        with pytest.raises(NotAuthenticated):
            await who(here, old)


async def test_made_up_key_ids_do_not_become_requests(issuer: OidcServer) -> None:
    async with login(issuer.settings(), retry_s=60) as here:
        for number in range(20):
            with pytest.raises(NotAuthenticated):
                await who(here, issuer.token(headers={"kid": f"made-up-{number}"}))
    assert issuer.requests["/jwks"] == 1


async def test_many_first_callers_make_one_reading(issuer: OidcServer) -> None:
    token = issuer.token()
    async with login(issuer.settings()) as here:
        found = await asyncio.gather(*(who(here, token) for _ in range(50)))
    assert {p.id for p in found if p} == {"ada"}
    assert issuer.requests["/jwks"] == 1


async def test_a_token_without_a_key_id_may_mean_the_only_key(issuer: OidcServer) -> None:
    token = issuer.token(headers={"kid": None})
    async with login(issuer.settings()) as here:
        assert await who(here, token)
    twice = [{**key, "kid": f"other-{key['kid']}"} for key in issuer.jwks["keys"]]
    issuer.jwks["keys"] += twice
    async with login(issuer.settings()) as here:
        with pytest.raises(NotAuthenticated):
            await who(here, token)


@pytest.mark.parametrize(
    "change", [{"use": "enc"}, {"alg": "RS512"}, {"kty": "oct", "k": "AAAA"}, {"n": "!"}]
)
async def test_a_key_for_something_else_checks_no_token(issuer: OidcServer, change: dict[str, str]) -> None:
    issuer.jwks["keys"] = [{**key, **change} for key in issuer.jwks["keys"]]
    async with login(issuer.settings()) as here:
        with pytest.raises(NotAuthenticated):
            await who(here, issuer.token())


async def test_while_the_issuer_hangs_known_keys_go_on_and_others_wait_shortly(issuer: OidcServer) -> None:
    async with login(issuer.settings(), deadline_s=HANG_S, retry_s=60, fresh_s=0) as here:
        here_before = await _warmed(here, issuer)
        issuer.mode = "hang"
        begun = time.monotonic()
        assert await who(here, issuer.token()) == here_before
        assert time.monotonic() - begun < HANG_S
    async with login(issuer.settings(), deadline_s=HANG_S, retry_s=60) as cold:
        begun = time.monotonic()
        answers = await asyncio.gather(*(who(cold, issuer.token()) for _ in range(5)), return_exceptions=True)
        assert time.monotonic() - begun < 4 * HANG_S, "they wait together and not one after the other"
        assert all(isinstance(answer, IdentityUnavailable) for answer in answers)
        begun = time.monotonic()
        with pytest.raises(IdentityUnavailable) as caught:
            await who(cold, issuer.token())
        assert time.monotonic() - begun < HANG_S
        assert caught.value.retry_after == 60


async def _warmed(here: OidcLogin, issuer: OidcServer) -> Principal:
    found = await who(here, issuer.token())
    assert found
    return found


async def test_an_issuer_that_comes_back_is_believed_again(issuer: OidcServer) -> None:
    token = issuer.token()
    await issuer.stop()
    async with login(issuer.settings()) as here:
        with pytest.raises(IdentityUnavailable):
            await who(here, token)
        await issuer.start()
        assert await who(here, token)


async def test_keys_are_read_again_after_a_while_beside_the_request(issuer: OidcServer) -> None:
    async with login(issuer.settings(), fresh_s=0) as here:
        await _warmed(here, issuer)
        await _warmed(here, issuer)
        await issuer.asked("/jwks", times=2)


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://evil.example", "jwks_uri": "https://evil.example/jwks"},
        {"issuer": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
    ],
)
async def test_a_discovery_document_that_does_not_fit_is_not_followed(
    issuer: OidcServer, discovery: dict[str, Any]
) -> None:
    issuer.discovery.update(discovery)
    async with login(issuer.settings()) as here:
        with pytest.raises(IdentityUnavailable):
            await who(here, issuer.token())
    assert not issuer.requests["/jwks"]


@pytest.mark.parametrize("mode", ["error", "nonsense"])
async def test_an_issuer_that_answers_wrongly_is_not_there(issuer: OidcServer, mode: Any) -> None:
    issuer.mode = mode
    async with login(issuer.settings()) as here:
        with pytest.raises(IdentityUnavailable):
            await who(here, issuer.token())


@pytest.mark.parametrize("jwks", [[], {"keys": "none"}, {"keys": ["x"]}, {"pad": "x" * (2 << 20)}])
async def test_keys_that_are_none_let_nobody_in(issuer: OidcServer, jwks: Any) -> None:
    issuer.jwks = jwks
    async with login(issuer.settings()) as here:
        with pytest.raises((NotAuthenticated, IdentityUnavailable)):
            await who(here, issuer.token())


def test_a_claim_is_found_by_its_name_first_and_then_by_its_path() -> None:
    claims = {"https://x.example/groups": ["a"], "a": {"b": ["c"]}, "a.b": ["d"], "t": "text"}
    assert claim(claims, "https://x.example/groups") == ["a"]
    assert claim(claims, "a.b") == ["d"]
    assert claim({"a": {"b": ["c"]}}, "a.b") == ["c"]
    assert claim(claims, "t.u") is None
    assert claim(claims, "") is None
