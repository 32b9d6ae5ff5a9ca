"""Proxies that are believed, and how several ways to log in stand side by side."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal
from core.callers import is_user, scopes_in, words
from core.identity.authenticator import Authenticator, Credentials, folded, local_principal
from core.identity.errors import NotAuthenticated
from core.identity.keys import KeyStore
from core.identity.opened import opened_authenticator
from core.identity.proxy import ProxyLogin
from core.settings.auth import AuthSettings, ProxySettings
from tests.kit.oidc_server import OidcServer

SECRET = "a-shared-secret-of-the-proxy"
USE = frozenset({"use"})
PROXY = ProxySettings(addresses=["10.0.0.0/8", "fd00::/8", "127.0.0.1"], secret=SECRET)


def proxied(user: str = "ada", **more: str) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return {"x-proxy-secret": SECRET, "x-forwarded-user": user, **named}


@pytest.mark.parametrize("client", ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "127.0.0.1"])
async def test_a_listed_proxy_with_the_secret_is_believed(client: str) -> None:
    headers = proxied(x_forwarded_groups="staff, domain users,")
    found = await ProxyLogin(PROXY).principal(Credentials(headers, client))
    assert found == Principal("ada", frozenset({"staff", "domain users"}), scopes=USE)


@pytest.mark.parametrize("client", ["11.0.0.1", "", "unix", "::1", "fe80::1%eth0"])
async def test_the_same_headers_from_elsewhere_are_nothing(client: str) -> None:
    assert await ProxyLogin(PROXY).principal(Credentials(proxied(), client)) is None


async def test_a_listed_address_without_the_secret_is_nobody() -> None:
    login = ProxyLogin(PROXY)
    assert await login.principal(Credentials({"x-forwarded-user": "ada"}, "10.0.0.1")) is None
    for wrong in ("wrong", SECRET + "x", f"{SECRET}\n{SECRET}", "\xff"):
        headers = {**proxied(), "x-proxy-secret": wrong}
        with pytest.raises(NotAuthenticated) as caught:
            await login.principal(Credentials(headers, "10.0.0.1"))
        assert wrong not in caught.value.detail


async def test_whom_the_proxy_let_through_without_a_name_may_have_a_key() -> None:
    assert await ProxyLogin(PROXY).principal(Credentials(proxied(user=""), "10.0.0.1")) is None


@pytest.mark.parametrize("user", ["ada lovelace", "ada,bob", "x" * 129, "ada\nbob", "\nada", "<ada>"])
async def test_a_user_that_cannot_be_one_is_refused(user: str) -> None:
    with pytest.raises(NotAuthenticated, match="X-Forwarded-User"):
        await ProxyLogin(PROXY).principal(Credentials(proxied(user=user), "10.0.0.1"))


async def test_headers_that_came_twice_are_refused_and_not_chosen_from() -> None:
    raw = [(b"X-Proxy-Secret", SECRET.encode()), (b"X-Forwarded-User", b"ada")]
    groups = [(b"X-Forwarded-Groups", b"admins"), (b"x-forwarded-groups", b"staff")]
    assert await ProxyLogin(PROXY).principal(Credentials(folded([*raw, groups[1]]), "10.0.0.1"))
    with pytest.raises(NotAuthenticated, match="twice"):
        await ProxyLogin(PROXY).principal(Credentials(folded([*raw, *groups]), "10.0.0.1"))


async def test_other_headers_can_carry_levels_and_scopes() -> None:
    settings = PROXY.model_copy(update={"levels_header": "X-Levels", "scopes_header": "X-Scopes"})
    headers = proxied(x_levels="secret", x_scopes="use operate nonsense")
    found = await ProxyLogin(settings).principal(Credentials(headers, "10.0.0.1"))
    assert found == Principal("ada", levels=frozenset({"secret"}), scopes=frozenset({"use", "operate"}))
    none = await ProxyLogin(settings).principal(Credentials(proxied(), "10.0.0.1"))
    assert none == Principal("ada")


async def test_in_mode_none_everybody_is_the_local_user_and_may_do_all(engine: AsyncEngine) -> None:
    settings = AuthSettings(user="me", groups=["staff"], levels=["internal"])
    async with opened_authenticator(settings, engine) as authenticator:
        found = await authenticator.authenticate({"authorization": "Bearer nonsense"})
    assert found == Principal("me", frozenset({"staff"}), frozenset({"internal"}), frozenset({"*"}))


async def test_several_logins_stand_side_by_side(engine: AsyncEngine, issuer: OidcServer) -> None:
    settings = AuthSettings(mode=["keys", "oidc", "proxy"], oidc=issuer.settings(), proxy=PROXY)
    _, key = await KeyStore(engine).create("robot")
    async with opened_authenticator(settings, engine) as here:
        assert (await here.authenticate({"authorization": f"bearer {key}"})).id == "robot"
        token = {"authorization": f"Bearer {issuer.token(sub='token')}"}
        assert (await here.authenticate(token)).id == "token"
        assert (await here.authenticate(proxied("person"), "10.0.0.1")).id == "person"
        # The proxy's word counts before a token that it may have passed on.
        assert (await here.authenticate({**token, **proxied("person")}, "10.0.0.1")).id == "person"
        assert (await here.authenticate({**token, **proxied("person")}, "8.8.8.8")).id == "token"


async def test_who_says_nothing_and_who_says_something_wrong_hear_different_things() -> None:
    nobody = Authenticator([ProxyLogin(PROXY)], local=Principal("local"))
    with pytest.raises(NotAuthenticated) as silent:
        await nobody.authenticate({}, "10.0.0.1")
    assert silent.value.challenge == 'Bearer realm="waystation"'
    for headers in ({"authorization": "Bearer x"}, {"x-api-key": "x"}):
        with pytest.raises(NotAuthenticated) as wrong:
            await nobody.authenticate(headers)
        assert wrong.value.challenge.endswith('error="invalid_token"')
    with pytest.raises(NotAuthenticated) as basic:
        await nobody.authenticate({"authorization": "Basic YTpi"})
    assert not basic.value.given


def test_somebody_on_this_machine_has_every_scope_and_the_groups_that_are_given() -> None:
    settings = AuthSettings(groups=["staff"])
    every = frozenset({"*"})
    assert local_principal(settings) == Principal("local", frozenset({"staff"}), every, every)
    assert local_principal(settings, "local", ["x"]) == Principal("local", frozenset({"x"}), every, every)
    assert local_principal(settings, "bob") == Principal("bob", frozenset(), every, every)
    assert local_principal(settings, "bob", ["x"], []) == Principal("bob", frozenset({"x"}), scopes=every)


def test_words_are_lists_or_text_with_commas() -> None:
    assert words("a, b c ,,") == {"a", "b c"}
    assert words(["a", 7, None, "x" * 200, "b,c", "d\n"]) == {"a", "d"}
    assert words({"a": 1}) == words(None) == words(7) == frozenset()
    assert scopes_in("openid use,operate") == {"use", "operate"}
    assert scopes_in(["admin", "root"]) == {"admin"}


@pytest.mark.parametrize("user", ["ada", "auth0|ada", "ada@example.com", "svc:robot+1", "A-Z_0.9", "x" * 128])
def test_ids_of_users_may_look_like_this(user: str) -> None:
    assert is_user(user)


@pytest.mark.parametrize("user", ["", "a b", "x" * 129, "ada\n", "../ada", "ädä", None, 7])
def test_ids_of_users_may_not_look_like_this(user: object) -> None:
    assert not is_user(user)
