"""Plugins wait for an operator's permission where people log in.

Who can write into the folder of plugins could otherwise run a program as the
service. The permission is for what the folder holds: changed, it waits again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from core.errors import InvalidInput, NotFound
from core.settings import Book, Places
from core.settings.auth import AuthSettings

FILE = "allowed-plugins.json"
# What a plugin writes while it runs: data of its own, and compiled files, which Python reads instead of
# the code that was looked at; so a plugin that needed a permission gets them from elsewhere (see `plugins`).
NOT_CODE = frozenset({"__pycache__"})
NOT_CODE_AT_TOP = frozenset({"data", ".git"})
_CODE = frozenset(
    {".cjs", ".js", ".jar", ".lua", ".mjs", ".php", ".pl", ".pth", ".py", ".pyc", ".pyw", ".rb", ".sh"}
    | {".dll", ".dylib", ".exe", ".node", ".pyd", ".so", ".ts", ".wasm"}
)
MOST_FILES = 5_000
MOST_BYTES = 256 * 1_048_576


class PluginNotFound(NotFound):
    """There is no such plugin."""

    code = "plugin_not_found"
    title = "No such plugin"


class PluginTooLarge(InvalidInput):
    """A plugin's folder is too large to be looked through."""

    code = "plugin_too_large"
    title = "The plugin's folder is too large"


@dataclass(frozen=True, slots=True)
class PluginPermission:
    """Who may run: everybody where nobody logs in, else what was allowed, as it was then."""

    closed: bool = False
    allowed: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, book: Book) -> Self:
        auth = book.values.get(AuthSettings)
        closed = isinstance(auth, AuthSettings) and bool(auth.logins)
        return cls(closed, AllowedPlugins(book.context.places).digests() if closed else {})

    def holds(self, name: str, folder: Path) -> str:
        """Why the plugin may not run as it is now; "" where it may."""
        if not self.closed:
            return ""
        known = self.allowed.get(name)
        try:
            if known == digest(folder):
                return ""
        except (PluginTooLarge, OSError) as error:
            return str(error)
        why = "it has changed since an operator allowed it" if known else "no operator has allowed it yet"
        return f"{why}; look at it and say 'waystation mcp allow {name}'"


class AllowedPlugins:
    """The operator's permissions, in `state/allowed-plugins.json` of the home folder.

    Args:
        places: Where the home folder is.
    """

    def __init__(self, places: Places) -> None:
        self._path = places.home / "state" / FILE

    @property
    def path(self) -> Path:
        return self._path

    def digests(self) -> dict[str, str]:
        """What was allowed, by plugin; a file that cannot be read allows nothing."""
        return {name: str(permission.get("digest")) for name, permission in self._read().items()}

    def allow(self, name: str, folder: Path) -> str:
        """Allow the plugin as its folder is now; returns the digest.

        Raises:
            PluginTooLarge: The folder has too many files or bytes.
        """
        now = digest(folder)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self._write({**self._read(), name: {"digest": now, "at": at}})
        return now

    def revoke(self, name: str) -> None:
        """Take the permission back.

        Raises:
            PluginNotFound: It was not allowed.
        """
        permissions = self._read()
        if name not in permissions:
            known = ", ".join(permissions) or "none"
            raise PluginNotFound(f"the plugin '{name}' was not allowed; allowed: {known}")
        self._write({other: permission for other, permission in permissions.items() if other != name})

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        permissions = found if isinstance(found, dict) else {}
        return {name: permission for name, permission in permissions.items() if isinstance(permission, dict)}

    def _write(self, permissions: Mapping[str, Mapping[str, Any]]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self._path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(permissions, file, indent=1)
        fresh.replace(self._path)


def digest(folder: Path) -> str:
    """SHA-256 over names and contents of a plugin's files; links also by where they lead.

    Raises:
        PluginTooLarge: Too many files or bytes.
    """
    total, left = hashlib.sha256(), MOST_BYTES
    for number, path in enumerate(sorted(code_of(folder)), 1):
        name = path.relative_to(folder).as_posix().encode(errors="surrogateescape")
        size = path.stat().st_size if path.is_file() else 0
        left -= size
        if number > MOST_FILES or left < 0:
            raise PluginTooLarge(
                f"its folder has more than {MOST_FILES} files or {MOST_BYTES >> 20} MiB beside data/"
            )
        content = os.readlink(path).encode() if path.is_symlink() else b""
        content += path.read_bytes() if path.is_file() else b""
        total.update(hashlib.sha256(name).digest() + hashlib.sha256(content).digest())
    return total.hexdigest()


def code_of(folder: Path) -> Iterator[Path]:
    """The files of a plugin that are not its own data; what can be run is none, wherever it lies."""
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in NOT_CODE]
        linked = [name for name in folders if Path(root, name).is_symlink()]
        below = Path(root).relative_to(folder).parts
        data = bool(below) and below[0] in NOT_CODE_AT_TOP
        for name in [*files, *linked]:
            path = Path(root, name)
            if (path.is_symlink() or path.is_file()) and not (data and not _runs(path)):
                yield path


def _runs(path: Path) -> bool:
    return path.is_symlink() or path.suffix.lower() in _CODE or os.access(path, os.X_OK)
