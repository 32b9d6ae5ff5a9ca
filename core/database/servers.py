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
_NOT_WRITING = ("read-only", "standby", "prefer-standby")
_SEVERAL = re.compile(
    r"(?P<before>[\w+]+://(?:[^:/@]*(?::[^@]*)?@)?)(?P<servers>[^/?@]*,[^/?@]*)(?P<behind>[/?].*)?"
)
_SERVER = re.compile(r"(?:\[(?P<address>[^\[\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>\d{1,5}))?")


def read_url(text: str) -> URL:
    """The URL; several servers stand in its query, in the form that SQLAlchemy and libpq both read.

    Raises:
        ArgumentError: It is no URL.
        ValueError: A server of several, or a port, is none.
        ConfigInvalid: It asks for a server that takes no writes.
    """
    several = _SEVERAL.fullmatch(text)
    url = make_url(f"{several['before']}{several['behind'] or ''}" if several else text)
    named = url.query.get("host", ())
    words = several["servers"].split(",") if several else [] if isinstance(named, str) else list(named)
    if words:
        hosts, ports = zip(*map(_server, words), strict=True)
        url = url.set(query={**url.query, "host": ",".join(hosts), "port": ",".join(ports)})
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


def servers_of(url: URL) -> list[tuple[str, str]]:
    """Host and port of each server that a URL from `read_url` names."""
    hosts = str(url.host or url.query.get("host") or "").split(",")
    ports = str(url.port or url.query.get("port") or PORT).split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    return list(zip(hosts, ports, strict=False))
