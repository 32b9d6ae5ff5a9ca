"""The authenticator of a service, opened with it and closed with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.identity.authenticator import Authenticator, Login, local_principal
from core.identity.code_login import CodeLogin
from core.identity.issuer import IssuerKeys
from core.identity.keys import KeyStore
from core.identity.oidc import OidcLogin
from core.identity.proxy import ProxyLogin
from core.identity.sessions import Sessions
from core.identity.signing import Signer
from core.settings import Places
from core.settings.auth import AuthSettings


@asynccontextmanager
async def opened_authenticator(
    settings: AuthSettings, engine: AsyncEngine | None, places: Places | None = None
) -> AsyncIterator[Authenticator]:
    """Tells who sends requests, by the logins of the settings.

    Args:
        engine: The database that has the keys; none is needed where nobody logs in with one.
        places: Where the secret is kept that signs logins of browsers; without it, there are none.
    """
    async with AsyncExitStack() as stack:
        shown: dict[str, Login] = {}
        if "keys" in settings.logins and engine is not None:
            keys = KeyStore(engine)
            stack.push_async_callback(keys.aclose)
            shown["keys"] = keys
        sessions, at_issuer = None, None
        signer = _signer(settings, places) if places else None
        if "oidc" in settings.logins:
            issuer = IssuerKeys(settings.oidc)
            stack.push_async_callback(issuer.aclose)
            tokens = shown["oidc"] = OidcLogin(settings.oidc, issuer)
            if signer and settings.oidc.client_id:
                at_issuer = CodeLogin(settings.oidc, tokens, signer)
                stack.push_async_callback(at_issuer.aclose)
        if signer and shown:
            sessions = Sessions(signer, shown, seconds=settings.session_hours * 3600)
        first = [ProxyLogin(settings.proxy)] if "proxy" in settings.logins else []
        last = [sessions] if sessions else []
        yield Authenticator(
            [*first, *shown.values(), *last],
            local=local_principal(settings),
            sessions=sessions,
            at_issuer=at_issuer,
        )


def _signer(settings: AuthSettings, places: Places) -> Signer:
    given = settings.session_secret
    return Signer(given.get_secret_value() if given else places.home / "secrets" / "session.key")
