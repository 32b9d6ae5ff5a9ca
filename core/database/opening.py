"""What an operator reads when the database of `storage.url` cannot be opened: who, where, and what to do."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from core.database.outage import DatabaseUnavailable, outage
from core.errors import ConfigInvalid, WaystationError

_OPTION = re.compile(r'invalid connection option "(\w{1,40})"')
_VALUE = re.compile(r"(?:bad value for|invalid) (\w{1,40})(?: value)?: ['\"]")
# PostgreSQL says at a login only in words what is wrong; in other languages than English the last holds.
_REFUSALS = (
    (r"session is read-only|hot standby", "takes no writes: name the primary in storage.url, or promote it"),
    (r'database ".*" does not exist', "has no database '{database}'; create it, or mend storage.url"),
    (r'role ".*" does not exist', "knows no role '{role}'; create it, or mend storage.url"),
    (r"password|authentication failed", "refuses role '{role}': mend its password in storage.url"),
    (r"pg_hba", "lets role '{role}' not into database '{database}' from here; see its pg_hba.conf"),
    (r"permission denied for database", "lets role '{role}' not into database '{database}'; GRANT CONNECT"),
    (r"resolve host|translate host|name or service", "is not found: no such host; mend storage.url"),
    (r"connection refused", "refuses connections; start it, or mend host and port in storage.url"),
    (r"starting up|shutting down|recovery mode", "is starting or stopping; try again in a moment"),
    (r"too many (clients|connections)|connection slots", "has no connection left; raise max_connections"),
    (r"SSL|certificate", "and this service do not agree on TLS; see sslmode in storage.url"),
)


def opening_error(url: URL, error: BaseException) -> WaystationError | None:
    """The sentence for an error at the opening of the database; None when it is our own fault."""
    if isinstance(error, DatabaseUnavailable):
        if error.__cause__ is None:
            return error
        error = error.__cause__
    raw = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if option := _OPTION.search(str(raw)):
        return ConfigInvalid(f"storage.url: PostgreSQL knows no option '{option[1]}'; remove it")
    if option := _VALUE.search(str(raw)):
        # Not with the value: a password may have got there.
        return ConfigInvalid(f"storage.url: '{option[1]}' has a value that it cannot have; mend or remove it")
    away = outage(raw)
    if away is None:
        return None
    text = _of_file(url, away) if url.get_backend_name() == "sqlite" else _of_server(url, away, str(raw))
    return DatabaseUnavailable(away.reason, detail=text)


def _of_file(url: URL, away: DatabaseUnavailable) -> str:
    path = Path(str(url.database))
    where = f"the database '{path.name}'"
    if path.is_dir():
        return f"{where} is a folder; move it away, or name a file in storage.url"
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        return (
            f"{where} cannot be written by this user; mend the rights of its folder, or set WAYSTATION_HOME"
        )
    remedy = "mend that and start again"
    if "damaged" in away.reason:
        remedy = "move it away and bring a backup back, or name another in storage.url"
    if "locked" in away.reason:
        remedy = "end that program and start again"
    return f"{where} {away.reason}; {remedy}"


def _of_server(url: URL, away: DatabaseUnavailable, said: str) -> str:
    asked = url.query.get("host")
    host = url.host or (asked if isinstance(asked, str) else ", ".join(asked or ())) or "the local socket"
    port = f":{url.port}" if url.port else ""
    names = {"role": url.username or "of this user", "database": url.database or url.username or ""}
    for pattern, words in _REFUSALS:
        if re.search(pattern, said, re.IGNORECASE):
            return f"PostgreSQL at {host}{port} {words.format(**names)}"
    asked_for = f"database '{names['database']}' as role '{names['role']}'"
    return f"PostgreSQL at {host}{port} ({asked_for}) {away.reason}; see that it runs, or mend storage.url"
