"""The public keys of an OpenID Connect issuer: read once, kept, and read again when they change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from core.identity.errors import IdentityUnavailable, NotAuthenticated
from core.settings.auth import OidcSettings

if TYPE_CHECKING:
    import httpx
    from jwt import PyJWK

DEADLINE_SECONDS = 5.0
FRESH_SECONDS = 600.0
RETRY_SECONDS = 10.0
"""Between two readings: tokens with made-up key ids must not become requests to the issuer."""
MOST_BYTES = 1 << 20

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
        self._client: httpx.AsyncClient | None = None

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
        if self._client is not None:
            await self._client.aclose()

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
                keys = (await self._json(url)).get("keys")
            self._keys = [key for key in keys if isinstance(key, dict)] if isinstance(keys, list) else []
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            log.warning("issuer_not_read", issuer=self._settings.issuer, reason=_reason(error))
            return
        self._read_at = time.monotonic()

    async def _discovered(self) -> str:
        issuer = self._settings.issuer
        found = await self._json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != issuer:
            raise ValueError("the discovery document names another issuer")
        url = str(found.get("jwks_uri") or "")
        if not url.startswith(("https://", issuer.split("://")[0] + "://")):
            raise ValueError("the discovery document names no address of keys that may be used")
        return url

    async def _json(self, url: str) -> dict[str, Any]:
        import httpx  # noqa: PLC0415 - only where tokens are checked

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=self._deadline_s)
        body = b""
        async with self._client.stream("GET", url, headers={"accept": "application/json"}) as answer:
            answer.raise_for_status()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    raise ValueError(f"the answer is over {MOST_BYTES} bytes")
        found = orjson.loads(body)
        if not isinstance(found, dict):
            raise ValueError("the answer is no JSON object")  # noqa: TRY004 - as any other wrong answer
        return found

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
    return str(error) if type(error) is ValueError else type(error).__name__
