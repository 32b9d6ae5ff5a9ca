"""Who calls, and under which name the service may be called.

In mode `none` everybody who reaches the service is one user, so reaching it is
the only protection: it listens on loopback, and it answers only requests whose
Host and Origin are its own. The last part is for browsers: a foreign page may
point a name of its own at 127.0.0.1 (DNS rebinding) or post a form to us.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from core.access import Principal
from core.settings import Book
from core.settings.platform import AuthSettings, ServerSettings
from server.errors import BindRefused, HostRefused

# Probes come under the machine's address, and these answers hold nothing.
OPEN_PATHS = frozenset({"/health/live", "/health/ready"})


def local_principal(book: Book) -> Principal:
    """The one user of mode `none`."""
    settings = book[AuthSettings]
    return Principal(settings.user, frozenset(settings.groups))


async def principal(request: Request) -> Principal:
    """The authenticated caller; a FastAPI dependency."""
    book: Book = request.app.state.agent.book
    return local_principal(book)


Caller = Annotated[Principal, Depends(principal)]


def is_loopback(host: str) -> bool:
    """True for an address or name that only this machine reaches."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_bind(server: ServerSettings) -> None:
    """Refuse to open the service to a network where nobody has to log in.

    Raises:
        BindRefused: The address is not loopback and `server.allow_remote` is not set.
    """
    if server.allow_remote or is_loopback(server.host):
        return
    raise BindRefused(
        f"'{server.host}' can be reached from other machines and nobody has to log in; "
        "use 127.0.0.1, or set server.allow_remote to true"
    )


def check_names(host: str, origin: str | None, server: ServerSettings) -> None:
    """Refuse a request that was made under a foreign name.

    Args:
        host: The Host header.
        origin: The Origin header, where a browser sent one.

    Raises:
        HostRefused: One of them is not ours.
    """
    if not _ours(_hostname(f"//{host}"), server):
        raise HostRefused(f"the Host header names '{host[:100]}'; call the service by its own address")
    if origin and not _same_site(origin, host, server):
        raise HostRefused(f"a page of '{origin[:100]}' may not call this service")


def _ours(name: str, server: ServerSettings) -> bool:
    if is_loopback(name) or name in {_hostname(server.public_url), server.host.lower()}:
        return bool(name)
    # Whoever opened the service to a network without naming it serves any name.
    return server.allow_remote and not server.public_url


def _same_site(origin: str, host: str, server: ServerSettings) -> bool:
    if urlsplit(origin).netloc.lower() == host.lower():
        return True
    return is_loopback(_hostname(origin)) or (
        bool(server.public_url) and _hostname(origin) == _hostname(server.public_url)
    )


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
