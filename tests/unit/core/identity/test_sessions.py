"""Logins of browsers: who signs them, and what becomes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.access import Principal
from core.home import kept_secret
from core.identity.authenticator import Credentials
from core.identity.errors import IdentityUnavailable, NotAuthenticated
from core.identity.sessions import COOKIE, Sessions
from core.identity.signing import Signer

ADA = Principal("ada", frozenset({"staff"}), frozenset({"internal"}), frozenset({"use"}))


class Token:
    """A way to log in that knows one token."""

    async def principal(self, given: Credentials) -> Principal | None:
        return ADA if given.token == "a-token" else None


def cookie(value: str) -> Credentials:
    return Credentials({"cookie": f"other=1; {COOKIE}={value}"})


async def test_any_process_with_the_secret_reads_what_another_has_signed(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "session.key"
    session = Sessions(Signer(file), {"oidc": Token()}, seconds=60).of(ADA, "oidc")
    there = Sessions(Signer(file), {"oidc": Token()}, seconds=60)
    assert await there.principal(cookie(session.value)) == ADA
    assert there.expires_at({"cookie": f"{COOKIE}={session.value}"}) == session.expires_at
    other = Sessions(Signer("another secret of thirty-two letters"), {"oidc": Token()}, seconds=60)
    with pytest.raises(NotAuthenticated):
        await other.principal(cookie(session.value))


async def test_a_way_to_log_in_that_was_switched_off_ends_its_logins() -> None:
    secret = "a secret of thirty-two characters"
    session = await Sessions(Signer(secret), {"oidc": Token()}, seconds=60).begin("a-token")
    with pytest.raises(NotAuthenticated):
        await Sessions(Signer(secret), {}, seconds=60).principal(cookie(session.value))
    with pytest.raises(NotAuthenticated):
        await Sessions(Signer(secret), {"oidc": Token()}, seconds=60).begin("another")
    assert await Sessions(Signer(secret), {}, seconds=60).principal(Credentials({})) is None


async def test_a_secret_that_cannot_be_kept_says_which_setting_helps(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("a file where the folder should be")
    sessions = Sessions(Signer(tmp_path / "secrets" / "session.key"), {"oidc": Token()}, seconds=60)
    with pytest.raises(IdentityUnavailable, match=r"auth\.session_secret") as caught:
        await sessions.begin("a-token")
    assert str(tmp_path) not in caught.value.detail


def test_a_damaged_secret_is_told(tmp_path: Path) -> None:
    (tmp_path / "session.key").write_text("short")
    with pytest.raises(ValueError, match="delete the file"):
        kept_secret(tmp_path / "session.key")
