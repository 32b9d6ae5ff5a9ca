"""What goes wrong when somebody says who they are."""

from __future__ import annotations

from core.errors import NotAllowed, NotFound, Unavailable, WaystationError


class NotAuthenticated(WaystationError):
    """Nobody we know: no credentials, or none that hold.

    Args:
        detail: What to do; never which part of a credential was wrong.
        given: Whether there were credentials at all.
    """

    code = "not_authenticated"
    title = "Log in first"

    def __init__(self, detail: str = "", *, given: bool = False) -> None:
        super().__init__(detail)
        self.given = given

    @property
    def challenge(self) -> str:
        """The answer's WWW-Authenticate header (RFC 6750)."""
        return 'Bearer realm="waystation"' + (', error="invalid_token"' if self.given else "")


class IdentityUnavailable(Unavailable):
    """Who somebody is cannot be checked just now: the issuer or the database does not answer.

    Args:
        retry_after: Seconds until asking again may help.
    """

    code = "identity_unavailable"
    title = "Logins cannot be checked just now"

    def __init__(self, detail: str = "", *, retry_after: float = 5.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class KeyNotFound(NotFound):
    """No API key has this id."""

    code = "key_not_found"
    title = "There is no such key"


class KeyExceedsRights(NotAllowed):
    """A key would open more than whoever makes it may do."""

    code = "key_exceeds_rights"
    title = "Nobody gives rights that they do not have"
