"""Logins at the issuer's page: what is asked, and which answers are believed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from core.access import Principal
from core.identity.code_login import COOKIE, CodeLogin, here_only
from core.identity.discovery import MOST_BYTES
from core.identity.errors import IdentityUnavailable, NotAuthenticated
from core.identity.issuer import IssuerKeys
from core.identity.oidc import OidcLogin
from core.identity.sessions import Sessions
from core.identity.signing import Signer
from core.settings.auth import OidcSettings
from tests.kit.oidc_server import OidcServer

BACK = "http://127.0.0.1:8000/console/login/back"
SIGNER = Signer("a secret of thirty-two characters")
STAFF = Principal("ada", frozenset({"staff"}), scopes=frozenset({"use"}))


@dataclass
class There:
    """A login that was begun, and the issuer where it goes on."""

    issuer: OidcServer
    login: CodeLogin
    kept: str = ""
    asked: dict[str, str] | None = None

    async def begin(self, **how: Any) -> dict[str, str]:
        begun = await self.login.begin(BACK, **how)
        self.kept = begun.kept
        self.asked = {name: values[0] for name, values in parse_qs(urlsplit(begun.url).query).items()}
        return self.asked

    def says(self, *, status: int = 200, more: dict[str, Any] | None = None, **claims: Any) -> None:
        """What its token endpoint answers: a token with these claims."""
        assert self.asked
        whole = {"aud": "console", "nonce": self.asked["nonce"], "groups": ["staff"], **claims}
        answer = {"access_token": "opaque", "id_token": self.issuer.token(**whole), **(more or {})}
        self.issuer.answers["/token"] = (status, answer)

    async def back(self, **query: str) -> tuple[Principal, str]:
        assert self.asked
        return await self.login.finish(self.kept, {"code": "c", "state": self.asked["state"], **query}, BACK)

    async def refused(self, **query: str) -> str:
        with pytest.raises(NotAuthenticated) as caught:
            await self.back(**query)
        return caught.value.detail


def login_at(settings: OidcSettings) -> CodeLogin:
    return CodeLogin(settings, OidcLogin(settings, IssuerKeys(settings, retry_s=0)), SIGNER)


@pytest.fixture
async def there(issuer: OidcServer) -> AsyncIterator[There]:
    found = There(issuer, login_at(issuer.settings(client_id="console")))
    await found.begin()
    yield found
    await found.login.aclose()


async def test_the_browser_is_sent_with_what_proves_later_that_it_is_the_same(there: There) -> None:
    asked = await there.begin(onward="/console/runs?run=r_1")
    other = await there.begin(again=True)
    assert {name: asked[name] for name in ("response_type", "client_id", "redirect_uri", "scope")} == {
        "response_type": "code",
        "client_id": "console",
        "redirect_uri": BACK,
        "scope": "openid profile email",
    }
    assert asked["from"] == "us"
    assert other["prompt"] == "login"
    assert "prompt" not in asked
    assert all(asked[name] != other[name] for name in ("state", "nonce", "code_challenge"))
    assert there.issuer.requests["/.well-known/openid-configuration"] == 1


async def test_whoever_comes_back_with_a_code_is_who_the_issuer_says(there: There) -> None:
    await there.begin(onward="/console/runs?run=r_1")
    there.says()
    assert await there.back() == (STAFF, "/console/runs?run=r_1")
    form = there.issuer.forms[-1]
    assert there.asked
    digest = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode()
    assert digest.rstrip("=") == there.asked["code_challenge"]
    assert form["client_id"] == "console"
    assert form["redirect_uri"] == BACK
    assert there.issuer.requests["/me"] == 0


@pytest.mark.parametrize("methods", [None, ["client_secret_post"]])
async def test_a_secret_goes_the_way_that_the_issuer_takes(
    issuer: OidcServer, methods: list[str] | None
) -> None:
    there = There(issuer, login_at(issuer.settings(client_id="a b", client_secret="s:/")))
    issuer.discovery |= {"token_endpoint_auth_methods_supported": methods} if methods else {}
    await there.begin()
    there.says(aud="a b")
    await there.back()
    sent = base64.b64encode(b"a%20b:s%3A%2F").decode()
    assert (f"Basic {sent}" in "".join(issuer.heads)) is (methods is None)
    assert issuer.forms[-1].get("client_secret") == (None if methods is None else "s:/")
    await there.login.aclose()


async def test_claims_that_only_the_userinfo_endpoint_has_count_if_they_are_of_the_same_user(
    there: There,
) -> None:
    there.says(groups=None)
    there.issuer.answers["/me"] = (200, {"sub": "ada", "groups": ["staff"], "nonce": "other"})
    assert (await there.back())[0] == STAFF
    assert "authorization: bearer opaque" in there.issuer.heads[-1].lower()
    there.issuer.answers["/me"] = (200, {"sub": "root", "groups": ["admins"]})
    assert (await there.back())[0].groups == frozenset()
    there.issuer.answers["/me"] = (403, {})
    assert (await there.back())[0].groups == frozenset()


WRONG: dict[str, dict[str, Any]] = {
    "made for another login": {"nonce": "another"},
    "without a nonce": {"without": ("nonce",)},
    "for another client": {"aud": "waystation"},
    "for several, made for another": {"aud": ["console", "other"], "azp": "other"},
    "of another issuer": {"iss": "https://evil.example"},
    "that is over": {"iat": 1, "exp": 2},
    "signed with a shared secret": {"algorithm": "HS256", "key": "k" * 64},
    "of nobody": {"sub": "ada lovelace"},
    "that is none": {"more": {"id_token": None}},
}


@pytest.mark.parametrize("kind", WRONG)
async def test_a_token_is_not_believed(there: There, kind: str) -> None:
    there.says(**WRONG[kind])
    await there.refused()


async def test_an_answer_to_another_login_is_not_taken(there: There) -> None:
    there.says()
    assert "another login" in await there.refused(state="other")
    assert "another login" in await there.refused(state="")
    assert "not from" in await there.refused(iss="https://evil.example")
    assert "no code" in await there.refused(code="")
    assert "no code" in await there.refused(code="x" * 5000)
    there.issuer.discovery["authorization_response_iss_parameter_supported"] = True
    there.login = login_at(there.issuer.settings(client_id="console"))
    assert "not from" in await there.refused()
    assert (await there.back(iss=there.issuer.url))[0] == STAFF
    assert there.issuer.requests["/token"] == 1


@pytest.mark.parametrize("kept", ["", "x", "a.b", "e30.e30", SIGNER.written(COOKIE, {"until": 1})])
async def test_a_browser_that_began_nothing_is_told_so(there: There, kept: str) -> None:
    there.kept = kept
    assert "has begun no login" in await there.refused()


async def test_a_login_is_no_cookie_of_a_login_that_is_going_on(there: There) -> None:
    there.kept = Sessions(SIGNER, {}, seconds=60).of(STAFF, "oidc").value
    assert "has begun no login" in await there.refused()


async def test_what_the_issuer_refuses_is_told_in_words(there: There) -> None:
    told = await there.refused(error="access_denied", error_description="Ada said\n no. ")
    assert told.endswith(
        "did not log you in: the login was refused there, or called off (Ada said no); log in again"
    )
    assert "it says 'odd'" in await there.refused(error="odd")
    there.issuer.answers["/token"] = (400, {"error": "invalid_grant"})
    assert "has been used" in await there.refused()
    there.issuer.answers["/token"] = (401, {"error": "invalid_client"})
    assert "auth.oidc.client_id" in await there.refused()


@pytest.mark.parametrize("answer", [[], "x" * (MOST_BYTES + 1)], ids=["no object", "too large"])
async def test_an_issuer_that_answers_nonsense_is_not_there(there: There, answer: Any) -> None:
    there.issuer.answers["/token"] = (200, answer)
    with pytest.raises(IdentityUnavailable, match="try again"):
        await there.back()
    there.issuer.mode = "error"
    with pytest.raises(IdentityUnavailable):
        await there.back()
    await there.issuer.stop()
    with pytest.raises(IdentityUnavailable):
        await login_at(there.issuer.settings(client_id="console")).begin(BACK)


async def test_an_issuer_may_not_lead_to_an_address_that_is_less_safe(there: There) -> None:
    there.issuer.discovery["authorization_endpoint"] = "javascript:alert(1)"
    with pytest.raises(IdentityUnavailable):
        await login_at(there.issuer.settings(client_id="console")).begin(BACK)


async def test_made_up_codes_do_not_become_many_requests_at_once(there: There) -> None:
    there.issuer.mode = "hang"
    tries = [asyncio.create_task(there.back()) for _ in range(20)]
    await there.issuer.asked("/token", times=8)
    for each in tries:
        each.cancel()
    await asyncio.wait(tries)
    assert there.issuer.requests["/token"] == 8


ELSEWHERE = (
    "//evil.example",
    "/\\evil.example",
    "https://evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
)
NO_PATH = ("", "evil", "javascript:x", "/a b", "/\u2028", "/" + "a" * 1000, "/\x00")


@pytest.mark.parametrize("path", [*ELSEWHERE, *NO_PATH])
def test_nobody_is_led_elsewhere_after_a_login(path: str) -> None:
    assert here_only(path) == "/"


@pytest.mark.parametrize("path", ["/", "/console/runs?run=r_1&a=%20", "/?thread=t&next=https://evil.example"])
def test_a_path_of_ours_is_led_to(path: str) -> None:
    assert here_only(path) == path


def test_the_name_on_the_button_is_the_settings_or_the_issuers_host() -> None:
    settings = OidcSettings(issuer="https://id.example:8443/realm", client_id="console")
    assert login_at(settings).name == "id.example:8443"
    assert login_at(settings.model_copy(update={"name": "Harbour"})).name == "Harbour"
