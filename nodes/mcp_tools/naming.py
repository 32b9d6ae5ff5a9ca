"""Names under which a model knows tools: `<server>_<tool>`, unique and in the alphabet of model APIs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

_LIMIT = 64
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


def safe(name: str) -> str:
    """`name` with every character outside A-Z, a-z, 0-9, _ and - replaced."""
    return _FOREIGN.sub("_", name)


def file_stem(server: str) -> str:
    """A file name part for a server, different for different servers."""
    return server if safe(server) == server else f"{safe(server)}-{_digest(server)}"


def full_name(server: str, tool: str, servers: Iterable[str]) -> str:
    """The function name of a tool, the same whichever servers happen to be up.

    Two pairs can only meet where a name had to be changed, or where another
    server's name begins what would be the tool's part ("a" with "b_c", and
    "a_b" with "c"). Such a name ends in a digest of the pair.

    Args:
        servers: The names of all configured servers.
    """
    plain = f"{server}_{tool}"
    readable = safe(plain)
    taken = any(len(other) > len(server) and plain.startswith(f"{other}_") for other in servers)
    if readable == plain and len(plain) <= _LIMIT and not taken:
        return plain
    digest = _digest(f"{server}\0{tool}")
    return f"{readable[: _LIMIT - len(digest) - 1]}_{digest}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
