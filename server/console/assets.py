"""Scripts, styles and pictures of the console, under addresses that change with them.

One hash over all of them stands in the address, so a script finds the others beside it by relative
names, and a browser keeps each for a year.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import Response

from server.console.table import STATIC
from server.errors import RouteNotFound

_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
_KEPT = "public, max-age=31536000, immutable"


@cache
def assets() -> Mapping[str, bytes]:
    """Every file by its name below `static/`."""
    found: dict[str, bytes] = {}
    folders = [("", files("server.console") / "static")]
    while folders:
        prefix, folder = folders.pop()
        for entry in folder.iterdir():
            _add(found, folders, f"{prefix}{entry.name}", entry)
    return dict(sorted(found.items()))


def _add(
    found: dict[str, bytes], folders: list[tuple[str, Traversable]], name: str, entry: Traversable
) -> None:
    if entry.is_dir():
        folders.append((f"{name}/", entry))
    elif name.rpartition(".")[2] in _TYPES:
        found[name] = entry.read_bytes()


@cache
def version() -> str:
    """Of all assets together."""
    digest = hashlib.sha256()
    for name, content in assets().items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def url_of(name: str) -> str:
    """The address of an asset, without what a proxy puts before it.

    Raises:
        KeyError: There is none.
    """
    if name not in assets():
        raise KeyError(name)
    return f"{STATIC}/{version()}/{name}"


def answer(asked: str, name: str) -> Response:
    """The asset. Under an address of another release it is this one's, and not kept.

    Raises:
        RouteNotFound: There is none.
    """
    content = assets().get(name)
    if content is None:
        raise RouteNotFound(f"the console has no file '{name[:200]}'")
    kind = _TYPES[name.rpartition(".")[2]]
    headers = {"Cache-Control": _KEPT if asked == version() else "no-cache"}
    return Response(content, media_type=f"{kind}; charset=utf-8", headers=headers)
