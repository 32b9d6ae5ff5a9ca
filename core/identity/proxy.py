"""Users whom a proxy in front of us has logged in, by its headers."""

from __future__ import annotations

import hmac
import ipaddress

import structlog

from core.access import Principal
from core.callers import is_user, scopes_in, words
from core.identity.authenticator import TWICE, Credentials
from core.identity.errors import NotAuthenticated
from core.observability import never_log
from core.settings.auth import ProxySettings

log = structlog.get_logger()


class ProxyLogin:
    """Believes the headers of a listed address that knows the shared secret; of nobody else."""

    def __init__(self, settings: ProxySettings) -> None:
        self._settings = settings
        self._secret = settings.secret.get_secret_value().encode()
        never_log(settings.secret.get_secret_value())
        self._networks = [ipaddress.ip_network(text) for text in settings.addresses]

    async def principal(self, given: Credentials) -> Principal | None:
        secret = given.headers.get(self._settings.secret_header.lower(), "")
        if not secret or not self._is_listed(given.client):
            return None
        if not hmac.compare_digest(secret.encode("latin-1", "replace"), self._secret):
            log.warning("proxy_refused", reason="wrong secret", client=given.client)
            raise NotAuthenticated("the proxy in front of this service is not trusted by it", given=True)
        user = self._header(given, self._settings.user_header)
        if not user:
            return None  # the proxy let somebody through without a login; they may have a key
        return self._named(given, user)

    def _named(self, given: Credentials, user: str) -> Principal:
        settings = self._settings
        if not is_user(user):
            raise NotAuthenticated(f"the header {settings.user_header} holds no valid user id", given=True)
        scopes = self._header(given, settings.scopes_header) if settings.scopes_header else settings.scopes
        return Principal(
            user,
            words(self._header(given, settings.groups_header)),
            words(self._header(given, settings.levels_header)),
            scopes_in(scopes),
        )

    def _header(self, given: Credentials, name: str) -> str:
        value = given.headers.get(name.lower(), "")
        if TWICE in value:
            raise NotAuthenticated(f"the header {name} came twice; the proxy must replace it", given=True)
        return value.strip()

    def _is_listed(self, client: str) -> bool:
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return False
        # A socket that takes both families sees 10.0.0.1 as ::ffff:10.0.0.1.
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self._networks)
