"""Users by tokens of an OpenID Connect issuer: signature, issuer, audience and times are checked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from core.access import Principal
from core.callers import is_user, scopes_in, words
from core.identity.authenticator import Credentials
from core.identity.errors import NotAuthenticated
from core.identity.issuer import IssuerKeys
from core.settings.auth import OidcSettings

MOST_CHARACTERS = 32_768
log = structlog.get_logger()


class OidcLogin:
    """Login by a signed token (JWT).

    Args:
        keys: The issuer's keys.
    """

    def __init__(self, settings: OidcSettings, keys: IssuerKeys) -> None:
        self._settings = settings
        self._keys = keys

    async def principal(self, given: Credentials) -> Principal | None:
        token = given.token
        if token.count(".") != 2:
            return None
        return self.named(await self.claims(token, self._settings.audience))

    async def claims(self, token: str, audience: Sequence[str]) -> Mapping[str, Any]:
        """What a token says, once its signature, issuer, audience and times have been checked.

        Args:
            audience: It has to be for one of these.

        Raises:
            NotAuthenticated: It does not hold.
            IdentityUnavailable: The issuer's keys cannot be read just now.
        """
        if len(token) > MOST_CHARACTERS:
            raise _refused("too long")
        import jwt  # noqa: PLC0415 - brings cryptography, which only this login needs

        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = str(header.get("alg", "")), header.get("kid")
            if algorithm not in self._settings.algorithms:
                raise _refused("its algorithm is not accepted")
            key = await self._keys.find(None if kid is None else str(kid), algorithm)
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=list(audience),
                issuer=self._settings.issuer,
                leeway=self._settings.leeway_s,
                options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
            )
        except jwt.PyJWTError as error:
            raise _refused(type(error).__name__) from None
        return claims

    def named(self, claims: Mapping[str, Any]) -> Principal:
        """Whom claims stand for.

        Raises:
            NotAuthenticated: They name no user that can be one.
        """
        settings = self._settings
        user = claim(claims, settings.user_claim)
        if not is_user(user):
            raise _refused(f"the claim {settings.user_claim} holds no valid user id")
        scopes = claim(claims, settings.scopes_claim) if settings.scopes_claim else settings.scopes
        return Principal(
            str(user),
            words(claim(claims, settings.groups_claim)),
            words(claim(claims, settings.levels_claim)),
            scopes_in(scopes),
        )


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim `name`; `realm_access.roles` also finds `roles` inside of `realm_access`."""
    if name in claims or not name:
        return claims.get(name)
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _refused(reason: str) -> NotAuthenticated:
    # The log says why; whoever tries tokens out learns nothing.
    log.info("token_refused", reason=reason)
    return NotAuthenticated("the token is not valid here: expired, or made for somebody else", given=True)
