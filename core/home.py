"""The folder of a service's data, for its owner alone: chats, files, keys and logs of people stand in it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.health import Health

_OTHERS = 0o007
_FOR_US_ALONE = 0o077
SECRET_BYTES = 32
# What a service writes there by itself: of people, keys among it, and its own.
WRITTEN = (
    "config-loaded.json",
    "files",
    "index",
    "logs",
    "plugins",
    "secrets",
    "state",
    "waystation.db",
    "waystation.db-journal",
    "waystation.db-shm",
    "waystation.db-wal",
)


def make_home(home: Path) -> None:
    """Make the folder where it is not there yet; what is there keeps its rights."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)


def make_private(file: Path) -> None:
    """Make an empty file that only its owner reads, where none is there: a database, say.

    What SQLite puts beside one later has the same rights.
    """
    with suppress(OSError):  # whoever opens it next says what is wrong
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def kept_secret(path: Path) -> str:
    """The secret in `path`; made once, readable by us alone, also when several processes ask at once.

    Raises:
        OSError: The file cannot be read or written.
        ValueError: It holds no secret.
    """
    if not path.exists():
        _make_secret(path)
    found = path.read_text(encoding="ascii").strip()
    if len(found) < SECRET_BYTES:
        raise ValueError(f"{path.name} is damaged; delete the file")
    return found


def _make_secret(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as handle:
        handle.write(secrets.token_urlsafe(SECRET_BYTES))
        handle.flush()
        os.fsync(handle.fileno())
    try:
        os.link(draft, path)  # unlike a rename, fails when another process was first
    except FileExistsError:
        pass
    finally:
        draft.unlink()


@contextmanager
def private_files() -> Iterator[None]:
    """What this process makes meanwhile is for its owner alone, whoever makes it.

    For commands, whose process is theirs: in somebody's notebook the folder's
    own rights have to do.
    """
    before = os.umask(_FOR_US_ALONE)
    os.umask(before | _FOR_US_ALONE)
    try:
        yield
    finally:
        os.umask(before)


def is_open(home: Path) -> bool:
    """True where other users of this machine get into the folder."""
    return home.exists() and bool(home.stat().st_mode & _OTHERS)


def home_health(home: Path) -> Health:
    """Degraded where others may read everything, with the command that ends it."""
    from core.health import degraded, healthy  # noqa: PLC0415 - every command has a home, and few ask how it is

    if not is_open(home):
        return healthy()
    return degraded(
        "other users of this machine can read the chats and files in WAYSTATION_HOME; close it with: "
        'chmod -R go= "${WAYSTATION_HOME:-.waystation}"'
    )
