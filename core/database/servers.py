"""An address of PostgreSQL that names several servers, of which one takes writes: after a fail-over another.

    postgresql://USER@ONE:5432,OTHER:5432/NAME               as PostgreSQL's own programs take it
    postgresql://USER@/NAME?host=ONE:5432&host=OTHER:5432    as SQLAlchemy has it

SQLAlchemy refuses the first; of the second libpq finds only the last server, with the port as a part of its
name. Both understand `?host=ONE,OTHER&port=5432,5432`, into which `read_url` brings them.
"""

from __future__ import annotations

import re

from sqlalchemy.engine import URL, make_url

from core.errors import ConfigInvalid

PORT = "5432"
# Where several are named, the one that takes writes is looked for.
WANTED = "target_session_attrs"
WRITING = "read-write"
_WRITING = (WRITING, "primary", "any")
_NOT_WRITING = ("read-only", "standby", "prefer-standby")
_SEVERAL = re.compile(
    r"(?P<before>[\w+]+://(?:[^:/@]*(?::[^@]*)?@)?)(?P<servers>[^/?@]*,[^/?@]*)(?P<behind>[/?].*)?"
)
_SERVER = re.compile(
    r"(?:\[(?P<address>[^\[\]]+)\]|(?P<host>[^:\[\]\s\x00-\x1f]+))(?::(?P<port>[0-9]{1,5}))?"
)


def driver_address(url: URL) -> str:
    """The address for libpq, password and all: it knows no spaces, and none that are written as `+`."""
    said = url.set(drivername="postgresql").render_as_string(hide_password=False)
    before, sign, query = said.partition("?")
    return before.replace(" ", "%20") + sign + query.replace("+", "%20")


def read_url(text: str) -> URL:
    """The URL; several servers stand in its query, in the form that SQLAlchemy and libpq both read.

    Raises:
        ArgumentError: It is no URL.
        ValueError: A server of several, or a port, is none.
        ConfigInvalid: It asks for a server that takes no writes, or its ports are none of its servers'.
    """
    several = _SEVERAL.fullmatch(text)
    url = make_url(f"{several['before']}{several['behind'] or ''}" if several else text)
    named = url.query.get("host", ())
    words = several["servers"].split(",") if several else [] if isinstance(named, str) else list(named)
    if words:
        hosts, ports = zip(*map(_server, words), strict=True)
        url = url.set(query={**url.query, "host": ",".join(hosts), "port": ",".join(ports)})
    _check_numbers(url)
    if url.query.get(WANTED, WRITING) not in (*_WRITING, *_NOT_WRITING):
        raise ConfigInvalid(f"{WANTED} is no word of PostgreSQL; use {WRITING}, or leave it out")
    if url.query.get(WANTED) in _NOT_WRITING:
        raise ConfigInvalid(f"{WANTED}={url.query[WANTED]} finds no server to write to; use {WRITING}")
    if len(servers_of(url)) > 1 and WANTED not in url.query:
        url = url.update_query_dict({WANTED: WRITING})
    return url


def _server(word: str) -> tuple[str, str]:
    found = _SERVER.fullmatch(word)
    if found is None:
        raise ValueError(f"'{word}' is no server")
    return found["address"] or found["host"], found["port"] or PORT


def _check_numbers(url: URL) -> None:
    hosts, ports = (str(url.query.get(name) or "").split(",") for name in ("host", "port"))
    if len(ports) not in (1, len(hosts)):
        raise ConfigInvalid(
            f"names {len(hosts)} servers and {len(ports)} ports; use one port, or one for each"
        )
    if any(port and not _is_port(port) for port in [*ports, str(url.port or "")]):
        raise ConfigInvalid("a port is a number from 1 to 65535")


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text) < 65536


def servers_of(url: URL) -> list[tuple[str, str]]:
    """Host and port of each server that a URL from `read_url` names."""
    hosts = str(url.host or url.query.get("host") or "").split(",")
    ports = str(url.port or url.query.get("port") or PORT).split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    return list(zip(hosts, ports, strict=False))
