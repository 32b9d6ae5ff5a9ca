"""The public keys of an OpenID Connect issuer: read once, kept, and read again when they change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import structlog

from core.identity.discovery import IssuerDocuments, WrongAnswer
from core.identity.errors import IdentityUnavailable, NotAuthenticated
from core.settings.auth import OidcSettings

if TYPE_CHECKING:
    from jwt import PyJWK

DEADLINE_SECONDS = 5.0
FRESH_SECONDS = 600.0
RETRY_SECONDS = 10.0
"""Between two readings: tokens with made-up key ids must not become requests to the issuer."""

log = structlog.get_logger()


class IssuerKeys:
    """Finds the key that signed a token.

    One reading at a time, whoever waits for it; while the issuer does not
    answer, known keys go on.

    Args:
        deadline_s: The longest that a reading, and who waits for it, may take.
        retry_s: The shortest time between two readings.
        fresh_s: Older keys are read again, beside the request.
    """

    def __init__(
        self,
        settings: OidcSettings,
        *,
        deadline_s: float = DEADLINE_SECONDS,
        retry_s: float = RETRY_SECONDS,
        fresh_s: float = FRESH_SECONDS,
    ) -> None:
        self._settings = settings
        self._deadline_s = deadline_s
        self._retry_s = retry_s
        self._fresh_s = fresh_s
        self._keys: list[Mapping[str, Any]] = []
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._documents = IssuerDocuments(settings, deadline_s=deadline_s)

    async def find(self, kid: str | None, algorithm: str) -> PyJWK:
        """The key called `kid`; a token without one may mean the only key there is.

        Raises:
            NotAuthenticated: The issuer has no such key.
            IdentityUnavailable: The issuer does not answer, and the key is not known yet.
        """
        key = self._known(kid, algorithm)
        if key is None:
            await self._read_again()
            key = self._known(kid, algorithm)
        elif time.monotonic() - self._read_at > self._fresh_s:
            self._start()  # beside the request: what is known goes on
        if key is not None:
            return key
        if self._read_at < self._tried_at:
            raise IdentityUnavailable(
                "the issuer of tokens does not answer; try again in a moment", retry_after=self._retry_s
            )
        raise NotAuthenticated("the token was signed with a key that its issuer does not have", given=True)

    async def aclose(self) -> None:
        """Stop reading, close the connection."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        await self._documents.aclose()

    async def _read_again(self) -> None:
        self._start()
        if self._reading is not None:
            # Shielded: one caller's leaving must not end it for the others.
            await asyncio.shield(self._reading)

    def _start(self) -> None:
        if self._reading is not None and not self._reading.done():
            return
        self._reading = None
        if time.monotonic() - self._tried_at >= self._retry_s:
            self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        self._tried_at = time.monotonic()
        import httpx  # noqa: PLC0415 - only where tokens are checked

        try:
            async with asyncio.timeout(self._deadline_s):
                url = self._settings.jwks_url or await self._discovered()
                keys = (await self._documents.json("GET", url)).get("keys")
            self._keys = [key for key in keys if isinstance(key, dict)] if isinstance(keys, list) else []
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, WrongAnswer) as error:
            log.warning("issuer_not_read", issuer=self._settings.issuer, reason=_reason(error))
            return
        self._read_at = time.monotonic()

    async def _discovered(self) -> str:
        return self._documents.address_in(await self._documents.discovered(), "jwks_uri")

    def _known(self, kid: str | None, algorithm: str) -> PyJWK | None:
        fitting = [
            key
            for raw in self._keys
            if (kid is None or raw.get("kid") == kid) and (key := _usable(raw, algorithm)) is not None
        ]
        return fitting[0] if len(fitting) == 1 or (fitting and kid is not None) else None


def _usable(raw: Mapping[str, Any], algorithm: str) -> PyJWK | None:
    """The key for checking signatures of `algorithm`; None where it is of another kind or purpose."""
    import jwt  # noqa: PLC0415 - brings cryptography, which only this login needs

    if raw.get("use", "sig") != "sig" or raw.get("alg", algorithm) != algorithm or raw.get("kty") == "oct":
        return None
    try:
        return jwt.PyJWK(dict(raw), algorithm=algorithm)
    except jwt.PyJWTError:
        return None


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, WrongAnswer) else type(error).__name__
