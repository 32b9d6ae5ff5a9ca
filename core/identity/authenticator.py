"""From a request's headers to a Principal, by whichever logins the settings allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.access import EVERY_SCOPE, Principal
from core.identity.errors import NotAuthenticated
from core.settings.auth import AuthSettings

TWICE = "\n"
"""Between the values of a header that came twice; a header itself cannot hold it."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request says of its sender.

    Args:
        headers: By lower-case name.
        client: Address of the peer, "" where there is none (a Unix socket).
    """

    headers: Mapping[str, str]
    client: str = ""

    @property
    def token(self) -> str:
        """The bearer token, or the key of X-API-Key; "" where there is neither."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        return self.headers.get("x-api-key", "").strip()


class Login(Protocol):
    """One way to log in."""

    async def principal(self, given: Credentials) -> Principal | None:
        """Who it is; None where these credentials are not of this kind.

        Raises:
            NotAuthenticated: They are of this kind and do not hold.
            IdentityUnavailable: It cannot be checked just now.
        """


@dataclass(frozen=True, slots=True)
class Session:
    """A login that a browser keeps.

    Args:
        value: Of its cookie.
        expires_at: Seconds since 1970.
    """

    value: str
    expires_at: float


class BrowserLogins(Login, Protocol):
    """The way to log in that a browser has: a cookie, which another way has begun."""

    async def begin(self, token: str) -> Session:
        """A session of whoever the key or token stands for.

        Raises:
            NotAuthenticated: It does not hold, or no way to log in takes it.
            IdentityUnavailable: It cannot be checked just now.
        """

    def of(self, who: Principal, kind: str) -> Session:
        """A session of somebody who has shown who they are, by this word of the settings."""

    def expires_at(self, headers: Mapping[str, str]) -> float | None:
        """When the login of these headers ends; None where there is none."""


@dataclass(frozen=True, slots=True)
class PendingLogin:
    """A login that goes on at the issuer.

    Args:
        url: Where the browser goes.
        kept: What it keeps meanwhile, as a cookie.
    """

    url: str
    kept: str


class IssuerLogin(Protocol):
    """A login of browsers at the issuer's own page, which sends them back."""

    name: str

    async def begin(self, back: str, *, onward: str = "/", again: bool = False) -> PendingLogin:
        """Where a browser goes to log in.

        Args:
            back: Our address that the issuer sends it back to.
            onward: The path here that it wants to see then.
            again: Whether the person has to log in even where the issuer still knows them.

        Raises:
            IdentityUnavailable: The issuer does not answer.
        """

    async def finish(self, kept: str, query: Mapping[str, str], back: str) -> tuple[Principal, str]:
        """Who came back, and where they want to go.

        Args:
            kept: The cookie that `begin` gave.
            query: What the issuer sent along.

        Raises:
            NotAuthenticated: That is no answer to a login that this browser began, or a refusal.
            IdentityUnavailable: The issuer does not answer.
        """


def local_principal(
    settings: AuthSettings,
    user: str = "",
    groups: Iterable[str] | None = None,
    levels: Iterable[str] | None = None,
) -> Principal:
    """Somebody who works on this machine itself, with every scope: the settings' user, or the one named.

    Args:
        groups: None for those of the settings, where the user is theirs; otherwise no groups.
        levels: None for those of the settings.
    """
    own = not user or user == settings.user
    return Principal(
        user or settings.user,
        frozenset(groups if groups is not None else settings.groups if own else ()),
        frozenset(settings.levels if levels is None else levels),
        EVERY_SCOPE,
    )


class Authenticator:
    """Tells who sent a request.

    Args:
        logins: Tried in this order; empty in mode none, where everybody is `local`.
        local: The user of mode none.
        sessions: Logins of browsers, where somebody may log in by what they type; it is among `logins` too.
        at_issuer: How browsers log in at the issuer, where it knows this service as a client.
    """

    def __init__(
        self,
        logins: Sequence[Login],
        *,
        local: Principal,
        sessions: BrowserLogins | None = None,
        at_issuer: IssuerLogin | None = None,
    ) -> None:
        self.logins = tuple(logins)
        self.sessions = sessions
        self.at_issuer = at_issuer
        self._local = local

    async def authenticate(self, headers: Mapping[str, str], client_host: str = "") -> Principal:
        """Who sent these headers.

        Args:
            headers: By lower-case name (see `folded`).
            client_host: Address of the peer.

        Raises:
            NotAuthenticated: No credentials, or none that hold.
            IdentityUnavailable: They cannot be checked just now.
        """
        if not self.logins:
            return self._local
        given = Credentials(headers, client_host)
        for login in self.logins:
            found = await login.principal(given)
            if found is not None:
                return found
        if given.token:
            raise NotAuthenticated("the key or token is not valid here; get a new one", given=True)
        raise NotAuthenticated("send 'Authorization: Bearer' with a key or token of yours")


def folded(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """ASGI's headers by lower-case name.

    The values of one that came twice stay apart by a line break, which no check
    of ours lets pass: a proxy that adds its header to the client's instead of
    replacing it must not let the client choose.
    """
    found: dict[str, list[str]] = {}
    for name, value in raw:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return {name: TWICE.join(values) for name, values in found.items()}
