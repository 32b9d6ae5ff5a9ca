"""Logins of browsers: a signed cookie that says who logged in, and until when.

Nothing of it is kept by the service, so any process that has the secret reads it. A login by key
names the key, which is looked up at each use: one that is revoked ends its logins within a second.
A login by token holds the rights that the token gave, until the token's own end.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from typing import Any

import orjson

from core.access import Principal
from core.callers import SCOPES
from core.identity.authenticator import Credentials, Login, Session
from core.identity.errors import NotAuthenticated
from core.identity.keys import KeyStore, id_of
from core.identity.signing import Signer, cookie_in

COOKIE = "waystation_session"
# Browsers keep 4096 bytes of a cookie with its name and attributes.
MOST_BYTES = 3800
_ENDED = "this login has ended; log in again"


class Sessions:
    """Makes cookies of credentials, and reads them; as a `Login`, the cookie is the credential.

    Args:
        signer: Of the cookies.
        logins: What a credential may be, by the word of the settings: keys, oidc.
        seconds: The longest that a login lasts.
    """

    def __init__(self, signer: Signer, logins: Mapping[str, Login], *, seconds: float) -> None:
        self._signer = signer
        self._logins = logins
        self._seconds = seconds

    async def begin(self, token: str) -> Session:
        """See `BrowserLogins.begin`."""
        given = Credentials({"authorization": f"Bearer {token}"})
        for kind, login in self._logins.items():
            found = await login.principal(given)
            if found is not None:
                return self.of(found, kind, token)
        raise NotAuthenticated("the key or token is not valid here; get a new one", given=True)

    def of(self, who: Principal, kind: str, token: str = "") -> Session:
        """A session of somebody who has shown who they are.

        Args:
            kind: How: keys or oidc.
            token: What they have shown; "" where its own end does not count.
        """
        until = min(time.time() + self._seconds, _end_of(token))
        said: dict[str, Any] = {"by": kind, "until": until}
        if kind == "keys":
            said["key"] = id_of(token)
        else:
            parts = {"groups": who.groups, "levels": who.levels, "scopes": who.scopes}
            said |= {"user": who.id, **{name: sorted(words) for name, words in parts.items()}}
        value = self._signer.written(COOKIE, said)
        if len(value) > MOST_BYTES:
            raise NotAuthenticated("the token names too many groups for a login of a browser", given=True)
        return Session(value, until)

    async def principal(self, given: Credentials) -> Principal | None:
        value = value_in(given.headers)
        if not value:
            return None
        said = self._read(value)
        kind = said["by"]
        login = self._logins.get(kind)
        if login is None:
            raise NotAuthenticated(_ENDED, given=True)
        if isinstance(login, KeyStore):
            return await login.holder(said["key"])
        groups, levels = frozenset(said["groups"]), frozenset(said["levels"])
        return Principal(said["user"], groups, levels, frozenset(said["scopes"]) & SCOPES)

    def expires_at(self, headers: Mapping[str, str]) -> float | None:
        """See `BrowserLogins.expires_at`."""
        value = value_in(headers)
        return float(self._read(value)["until"]) if value else None

    def _read(self, value: str) -> dict[str, Any]:
        found = self._signer.read(COOKIE, value)
        if found is None:
            raise NotAuthenticated(_ENDED, given=True)
        return found


def value_in(headers: Mapping[str, str]) -> str:
    """The login of a browser in a request's headers; "" where there is none, or several to choose from."""
    return cookie_in(headers, COOKIE)


def _end_of(token: str) -> float:
    """When a token that was found to hold ends by itself; keys are looked up at each use instead."""
    parts = token.split(".")
    if len(parts) != 3:
        return float("inf")
    return float(orjson.loads(base64.urlsafe_b64decode(parts[1] + "=="))["exp"])
