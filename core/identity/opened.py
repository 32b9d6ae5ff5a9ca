"""The authenticator of a service, opened with it and closed with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from core.identity.authenticator import Authenticator, Login, local_principal
from core.identity.issuer import IssuerKeys
from core.identity.keys import KeyStore
from core.identity.oidc import OidcLogin
from core.identity.proxy import ProxyLogin
from core.settings.auth import AuthSettings


@asynccontextmanager
async def opened_authenticator(
    settings: AuthSettings, engine: AsyncEngine | None
) -> AsyncIterator[Authenticator]:
    """Tells who sends requests, by the logins of the settings.

    Args:
        engine: The database that has the keys; none is needed where nobody logs in with one.
    """
    async with AsyncExitStack() as stack:
        logins: list[Login] = []
        if "proxy" in settings.logins:
            logins.append(ProxyLogin(settings.proxy))
        if "keys" in settings.logins and engine is not None:
            keys = KeyStore(engine)
            stack.push_async_callback(keys.aclose)
            logins.append(keys)
        if "oidc" in settings.logins:
            issuer = IssuerKeys(settings.oidc)
            stack.push_async_callback(issuer.aclose)
            logins.append(OidcLogin(settings.oidc, issuer))
        yield Authenticator(logins, local=local_principal(settings))
