"""Connections to one endpoint: a bounded pool, one TLS context for all, proxies as the environment says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

CONNECT_SECONDS = 10.0
# As many as turns may go at once where everybody is one user, and those that are just being closed.
MOST_CONNECTIONS = 2048
# Shorter than what servers keep: one that they are just closing costs a try.
_IDLE_SECONDS = 15.0
_MOST_REDIRECTS = 3
_SENT_ON = (307, 308)


@cache
def tls() -> ssl.SSLContext:
    """One TLS context for every client: making one costs 20 ms."""
    return ssl.create_default_context()


class UnusableProxy(ValueError):
    """The environment names a proxy of a kind that is not known here."""


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for an address.

    Raises:
        UnusableProxy: It is of another kind than http and https.
    """
    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or (parts.hostname and proxy_bypass(parts.hostname)):
        return None
    found = proxy if "://" in proxy else f"http://{proxy}"
    if urlsplit(found).scheme not in ("http", "https"):
        raise UnusableProxy(urlsplit(found).scheme)
    return found


def joined(base: str, path: str) -> URL:
    """The address of a route below `base`, which may have a query of its own."""
    url = URL(base)
    return url.with_path(url.raw_path.rstrip("/") + path, encoded=True, keep_query=True)


class Http:
    """Requests to one endpoint, on connections that are kept. Whoever reads an answer bounds its time.

    Args:
        base: Address of the endpoint, without the route.
        headers: Sent with each request.
    """

    def __init__(self, base: str, headers: Mapping[str, str]) -> None:
        self._base = base
        self._headers = dict(headers)
        self._session: aiohttp.ClientSession | None = None
        self._proxy: str | None = None

    @asynccontextmanager
    async def asked(
        self, method: str, path: str, body: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a request, its body unread.

        Raises:
            aiohttp.ClientError, OSError: There is none.
            UnusableProxy: See `proxy_for`.
            ValueError: A header cannot be sent.
        """
        session, url = self._opened(), joined(self._base, path)
        response = await self._answered(session, method, url, body)
        try:
            for _ in range(_MOST_REDIRECTS):
                onward = _onward(response)
                if onward is None:
                    break
                response.release()
                response = await self._answered(session, method, onward, body)
            yield response
        finally:
            # An answer that is left before its end closes its connection, which takes a round of the loop.
            response.release()
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _answered(
        self, session: aiohttp.ClientSession, method: str, url: URL, body: bytes | None
    ) -> aiohttp.ClientResponse:
        used = SimpleNamespace(again=False)
        options: dict[str, Any] = {"data": body, "allow_redirects": False, "proxy": self._proxy}
        try:
            return await session.request(method, url, trace_request_ctx=used, **options)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not used.again:
                raise
        # The server closed a kept connection while we took it: it has seen nothing of the request.
        return await session.request(method, url, **options)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._proxy = proxy_for(self._base)
            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_reused)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=tls(), limit=MOST_CONNECTIONS, keepalive_timeout=_IDLE_SECONDS
                ),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                trace_configs=[trace],
            )
        return self._session


async def _reused(_: aiohttp.ClientSession, context: SimpleNamespace, __: Any) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx.again = True


def _onward(response: aiohttp.ClientResponse) -> URL | None:
    """Where a redirect leads that keeps the request, on the same host: our key goes nowhere else."""
    place = response.headers.get("Location")
    if response.status not in _SENT_ON or not place:
        return None
    onward = response.url.join(URL(place))
    same = onward.host == response.url.host and onward.scheme in ("https", response.url.scheme)
    return onward if same else None
