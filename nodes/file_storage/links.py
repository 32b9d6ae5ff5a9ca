"""Signed links: a token that says which file, and until when."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path

from core.home import kept_secret
from nodes.file_storage.errors import LinkExpired, LinkInvalid, StorageUnavailable
from nodes.file_storage.ports import LinkHost

ALGORITHM = "HS256"
AUDIENCE = "waystation/files"


class LinkSigner:
    """Makes and reads tokens.

    Args:
        secret: A signing secret of at least 32 characters, or the file that
            keeps one; the file is made when first needed.
    """

    def __init__(self, secret: str | Path) -> None:
        self._source = secret
        self._secret = secret if isinstance(secret, str) else ""

    def sign(self, owner: str, key: str, *, seconds: int) -> str:
        """A token for the file that works for `seconds`."""
        import jwt  # noqa: PLC0415 - brings cryptography, 49 modules

        claims = {"aud": AUDIENCE, "sub": owner, "key": key, "exp": int(time.time()) + seconds}
        return jwt.encode(claims, self._loaded(), algorithm=ALGORITHM)

    def verify(self, token: str) -> tuple[str, str]:
        """Owner and key that the token was made for.

        Raises:
            LinkExpired: Its time is over.
            LinkInvalid: It is not one of ours, or was changed.
        """
        import jwt  # noqa: PLC0415 - see above

        try:
            claims = jwt.decode(
                token,
                self._loaded(),
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                options={"require": ["exp", "aud", "sub", "key"]},
            )
        except jwt.ExpiredSignatureError:
            raise LinkExpired("the link has expired; ask for a new one") from None
        except jwt.PyJWTError:
            raise LinkInvalid("the link was not made by this service, or was changed") from None
        return str(claims["sub"]), str(claims["key"])

    def key_for(self, use: str) -> bytes:
        """A key of its own for another use, the same wherever and whenever the secret is the same."""
        return hmac.digest(self._loaded().encode(), use.encode(), hashlib.sha256)

    def _loaded(self) -> str:
        if not self._secret and isinstance(self._source, Path):
            try:
                self._secret = kept_secret(self._source)
            except (OSError, ValueError) as error:
                name = self._source.name
                raise StorageUnavailable(
                    f"the secret for links ({name}) cannot be kept, or is damaged; delete the file"
                ) from error
        return self._secret


class FixedHost:
    """Links lead to an address where they are served: by this process or by another.

    Args:
        url: The address before `/files/link/`.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    async def base_url(self) -> str:
        return self._url

    async def aclose(self) -> None:
        """Nothing is kept open."""


class LazyHost:
    """A host that is made with the first link: most who might make one never do.

    Args:
        make: Makes it.
    """

    def __init__(self, make: Callable[[], LinkHost]) -> None:
        self._make = make
        self._host: LinkHost | None = None

    async def base_url(self) -> str:
        if self._host is None:
            self._host = self._make()
        return await self._host.base_url()

    async def aclose(self) -> None:
        if self._host is not None:
            await self._host.aclose()
