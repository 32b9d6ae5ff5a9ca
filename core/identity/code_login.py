"""Logins of browsers at the issuer's own page: the authorization code flow with PKCE.

Nothing is kept here meanwhile: what has to be known when the browser comes back stands, signed, in a
cookie of it that lasts for minutes. So any replica with the secret answers it.

Sources: OpenID Connect Core 1.0, 3.1; RFC 7636 (PKCE); RFC 9207 (the issuer in its answer).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import structlog

from core.access import Principal
from core.identity.authenticator import PendingLogin
from core.identity.discovery import FRESH_SECONDS, IssuerDocuments, WrongAnswer
from core.identity.errors import IdentityUnavailable, NotAuthenticated
from core.identity.oidc import OidcLogin, claim
from core.identity.signing import Signer
from core.settings.auth import OidcSettings

COOKIE = "waystation_login"
# How long somebody may take at the issuer's page.
SECONDS = 600
DEADLINE_SECONDS = 10.0
# Whoever makes up codes has the issuer asked; not more often at once than this.
AT_ONCE = 8
MOST_CHARACTERS = 4096
ONWARD_CHARACTERS = 1000
_AGAIN = "log in again"
# RFC 6749, 4.1.2.1, and OpenID Connect Core, 3.1.2.6.
_REFUSALS: Mapping[str, str] = {
    "access_denied": "the login was refused there, or called off",
    "login_required": "nobody was logged in there",
    "consent_required": "somebody there has to agree first",
    "interaction_required": "somebody there has to answer something first",
    "temporarily_unavailable": "it is overloaded or being maintained",
    "server_error": "it had a fault of its own",
    "invalid_scope": "it does not know a scope of auth.oidc.client_scopes",
    "unauthorized_client": "it does not let this client (auth.oidc.client_id) log people in",
}
log = structlog.get_logger()


class AnotherLogin(NotAuthenticated):
    """What came back is not what this browser began last, which goes on."""


class CodeLogin:
    """See `IssuerLogin`.

    Args:
        tokens: Checks tokens of this issuer.
        signer: Of the cookie.
    """

    def __init__(self, settings: OidcSettings, tokens: OidcLogin, signer: Signer) -> None:
        self.name = settings.name or urlsplit(settings.issuer).netloc
        self._settings = settings
        self._tokens = tokens
        self._signer = signer
        self._documents = IssuerDocuments(settings, deadline_s=DEADLINE_SECONDS)
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def begin(self, back: str, *, onward: str = "/", again: bool = False) -> PendingLogin:
        """See `IssuerLogin.begin`."""
        document = await self._discovered()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        digest = hashlib.sha256(verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": back,
            "scope": " ".join(dict.fromkeys(("openid", *self._settings.client_scopes))),
            "state": state,
            "nonce": nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
            **({"prompt": "login"} if again else {}),
        }
        kept = {"state": state, "nonce": nonce, "verifier": verifier, "onward": here_only(onward)}
        address = self._address(document, "authorization_endpoint")
        joint = "&" if urlsplit(address).query else "?"
        value = self._signer.written(COOKIE, {**kept, "until": time.time() + SECONDS})
        return PendingLogin(f"{address}{joint}{urlencode(asked, quote_via=quote)}", value)

    async def finish(self, kept: str, query: Mapping[str, str], back: str) -> tuple[Principal, str]:
        """See `IssuerLogin.finish`."""
        begun = self._signer.read(COOKIE, kept) if kept else None
        if begun is None:
            raise _refused("this browser has begun no login, or took too long over it")
        if not hmac.compare_digest(query.get("state", "").encode(), begun["state"].encode()):
            raise AnotherLogin(
                f"this is the answer to another login than the one that this browser began last; {_AGAIN}",
                given=True,
            )
        document = await self._discovered()
        self._check_issuer(query, document)
        if "error" in query:
            raise self._refusal(query)
        code = query.get("code", "")
        if not 0 < len(code) <= MOST_CHARACTERS:
            raise _refused(f"{self.name} sent no code")
        claims = await self._claims(document, code, begun, back)
        return self._tokens.named(claims), begun["onward"]

    async def aclose(self) -> None:
        """Close the connection."""
        await self._documents.aclose()

    def _check_issuer(self, query: Mapping[str, str], document: Mapping[str, Any]) -> None:
        promised = document.get("authorization_response_iss_parameter_supported") is True
        given = query.get("iss", "" if promised else self._settings.issuer)
        if given != self._settings.issuer:
            raise _refused(f"the answer is not from {self.name}")

    def _refusal(self, query: Mapping[str, str]) -> NotAuthenticated:
        code = query["error"][:80]
        said = " ".join(query.get("error_description", "").split())[:200]
        told = _REFUSALS.get(code, f"it says '{code}'") + (f" ({said.rstrip('.')})" if said else "")
        log.info("issuer_refused_login", reason=code)
        return _refused(f"{self.name} did not log you in: {told}")

    async def _claims(
        self, document: Mapping[str, Any], code: str, begun: Mapping[str, str], back: str
    ) -> Mapping[str, Any]:
        """What is said of whoever has logged in, by a token that was made for this login."""
        async with self._slots:
            given = await self._exchanged(document, code, begun["verifier"], back)
            client = self._settings.client_id
            claims = await self._tokens.claims(str(given.get("id_token") or ""), [client])
            if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), begun["nonce"].encode()):
                raise _refused("the token was made for another login")
            if claims.get("azp", client) != client:
                raise _refused("the token was made for another client")
            return await self._completed(document, claims, str(given.get("access_token") or ""))

    async def _exchanged(
        self, document: Mapping[str, Any], code: str, verifier: str, back: str
    ) -> Mapping[str, Any]:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back}
        form |= {"code_verifier": verifier}
        headers = self._authentication(document, form)
        address = self._address(document, "token_endpoint")
        status, found = await self._asked("POST", address, data=form, headers=headers)
        if status < 300:
            return found
        reason = str(found.get("error", status))[:80]
        log.warning("code_not_exchanged", issuer=self._settings.issuer, reason=reason)
        if reason == "invalid_grant":
            raise _refused(f"{self.name} does not take this code: it has been used, or is too old")
        raise _refused(
            f"{self.name} gave no token ({reason}); whoever runs this service may see auth.oidc.client_id "
            "and client_secret"
        )

    def _authentication(self, document: Mapping[str, Any], form: dict[str, str]) -> dict[str, str]:
        """How the client shows who it is (RFC 6749, 2.3.1): a header, or words added to the form."""
        client, secret = self._settings.client_id, self._settings.client_secret
        if secret is None:
            form["client_id"] = client
            return {}
        methods = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if "client_secret_basic" not in methods:
            form |= {"client_id": client, "client_secret": secret.get_secret_value()}
            return {}
        pair = f"{quote(client, safe='')}:{quote(secret.get_secret_value(), safe='')}"
        return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    async def _completed(
        self, document: Mapping[str, Any], claims: Mapping[str, Any], access_token: str
    ) -> Mapping[str, Any]:
        """With what the userinfo endpoint adds, where a claim of the settings is missing in the token."""
        settings = self._settings
        names = (settings.user_claim, settings.groups_claim, settings.levels_claim, settings.scopes_claim)
        missing = any(name and claim(claims, name) is None for name in names)
        if not (missing and access_token and document.get("userinfo_endpoint")):
            return claims
        address = self._address(document, "userinfo_endpoint")
        headers = {"authorization": f"Bearer {access_token}"}
        status, more = await self._asked("GET", address, headers=headers)
        # Core, 5.3.2: without the same `sub` it may be somebody else's.
        if status >= 300 or more.get("sub") != claims.get("sub"):
            log.warning("userinfo_not_used", issuer=settings.issuer, status=status)
            return claims
        return {**more, **{name: value for name, value in claims.items() if value is not None}}

    async def _discovered(self) -> Mapping[str, Any]:
        import httpx  # noqa: PLC0415 - only where tokens are checked

        try:
            async with self._slots, asyncio.timeout(DEADLINE_SECONDS):
                return await self._documents.discovered(fresh_s=FRESH_SECONDS)
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, WrongAnswer) as error:
            raise self._unavailable(error) from None

    async def _asked(self, method: str, url: str, **request: Any) -> tuple[int, dict[str, Any]]:
        import httpx  # noqa: PLC0415 - only where tokens are checked

        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await self._documents.answered(method, url, **request)
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, WrongAnswer) as error:
            raise self._unavailable(error) from None

    def _address(self, document: Mapping[str, Any], name: str) -> str:
        try:
            return self._documents.address_in(document, name)
        except WrongAnswer as error:
            raise self._unavailable(error) from None

    def _unavailable(self, error: Exception) -> IdentityUnavailable:
        reason = str(error) if isinstance(error, WrongAnswer) else type(error).__name__
        log.warning("issuer_not_asked", issuer=self._settings.issuer, reason=reason)
        return IdentityUnavailable(
            f"{self.name} does not answer as it should; try again in a moment, or log in with a key"
        )


def here_only(path: str) -> str:
    """The path, if a browser takes it for one of this service; the first page otherwise."""
    # A browser leaves out tabs and line breaks, and reads a backslash as a slash.
    plain = path.isascii() and path.isprintable() and " " not in path and "\\" not in path
    fits = plain and path.startswith("/") and not path.startswith("//") and len(path) <= ONWARD_CHARACTERS
    return path if fits else "/"


def _refused(reason: str) -> NotAuthenticated:
    return NotAuthenticated(f"{reason}; {_AGAIN}", given=True)
