"""What an OpenID Connect issuer says of itself, and its other answers: JSON objects of a bounded size.

Source: OpenID Connect Discovery 1.0.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from core.settings.auth import OidcSettings

if TYPE_CHECKING:
    import httpx

MOST_BYTES = 1 << 20
FRESH_SECONDS = 600.0


class WrongAnswer(ValueError):
    """The issuer answered something that cannot be used; the text says what is wrong with it."""


class IssuerDocuments:
    """Asks the issuer over one kept client.

    Args:
        deadline_s: The longest that one request may take.
    """

    def __init__(self, settings: OidcSettings, *, deadline_s: float) -> None:
        self._issuer = settings.issuer
        self._deadline_s = deadline_s
        self._client: httpx.AsyncClient | None = None
        self._kept: tuple[float, dict[str, Any]] = (float("-inf"), {})

    async def discovered(self, *, fresh_s: float = 0.0) -> dict[str, Any]:
        """The discovery document.

        Args:
            fresh_s: How old one that was read before may be.

        Raises:
            WrongAnswer: It is none, or another issuer's.
            httpx.HTTPError, httpx.InvalidURL: There is no answer.
        """
        at, found = self._kept
        if time.monotonic() - at < fresh_s:
            return found
        found = await self.json("GET", f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self._issuer:
            raise WrongAnswer("the discovery document names another issuer")
        self._kept = (time.monotonic(), found)
        return found

    def address_in(self, document: Mapping[str, Any], name: str) -> str:
        """An address of the document, which may not be less safe than the issuer's own.

        Raises:
            WrongAnswer: It names none that may be used.
        """
        url = str(document.get(name) or "")
        if not url.startswith(("https://", self._issuer.split("://", maxsplit=1)[0] + "://")):
            raise WrongAnswer(f"the discovery document names no {name} that may be used")
        return url

    async def json(self, method: str, url: str, **request: Any) -> dict[str, Any]:
        """The object that an address answers.

        Args:
            request: As httpx takes it: data, headers, auth.

        Raises:
            WrongAnswer: It is no JSON object, or too large.
            httpx.HTTPError, httpx.InvalidURL: There is no answer, or one that is no success.
        """
        status, found = await self.answered(method, url, **request)
        if status >= 300:
            raise WrongAnswer(f"the answer's status is {status}")
        return found

    async def answered(self, method: str, url: str, **request: Any) -> tuple[int, dict[str, Any]]:
        """As `json`, with the status: for addresses that say in JSON what is wrong."""
        import httpx  # noqa: PLC0415 - only where tokens are checked

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=self._deadline_s)
        headers = {"accept": "application/json", **request.pop("headers", {})}
        body = b""
        async with self._client.stream(method, url, headers=headers, **request) as answer:
            if answer.status_code >= 500:
                answer.raise_for_status()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    raise WrongAnswer(f"the answer is over {MOST_BYTES} bytes")
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise WrongAnswer("the answer is no JSON") from None
        if not isinstance(found, dict):
            raise WrongAnswer("the answer is no JSON object")
        return answer.status_code, found

    async def aclose(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.aclose()
