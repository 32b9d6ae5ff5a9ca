"""Which addresses a webhook may be sent to. A name is resolved once, and what was checked is connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]

# Where clouds hand out a machine's credentials, as far as link-local does not cover it.
_METADATA = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "fd00:ec2::254", "192.0.0.192")))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


async def resolved(host: str, port: int) -> list[str]:
    """The addresses of a host by this machine's resolver, each once.

    Raises:
        OSError: The name is not known.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def may_connect(address: str, *, private: bool) -> bool:
    """True for an address that a webhook may be sent to.

    Args:
        address: As the resolver gave it; one that is no address may not.
        private: Allow this machine and private networks. Link-local and
            metadata addresses are never allowed.
    """
    try:
        ip = _plain(ipaddress.ip_address(address))
    except ValueError:
        return False
    if ip in _METADATA or ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return False
    if ip.is_global:
        return True
    return private and (ip.is_private or ip.is_loopback) and str(ip) != "255.255.255.255"


def _plain(ip: Address) -> Address:
    """An IPv4 address that is wrapped in an IPv6 one, unwrapped."""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        # 6to4 and Teredo lead to any IPv4 address; nobody needs them: treat them as what they wrap.
        teredo = ip.teredo[1] if ip.teredo else None
        return ip.ipv4_mapped or ip.sixtofour or teredo or ip
    return ip
