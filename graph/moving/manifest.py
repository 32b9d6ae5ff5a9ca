"""What a backup says of itself: `manifest.json`, written last."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from graph.db.database import HEAD
from graph.moving.errors import BackupInvalid
from graph.moving.trees import BackupFile, hash_file, is_plain

NAME = "manifest.json"
FORMAT = 1
DATABASE = "waystation.db"
# What a backup may hold at its top, and nothing else.
ROOMS = frozenset({DATABASE, "files", "index", "plugins", "config", "secrets"})
_HASH = re.compile(r"[0-9a-f]{64}")
_LARGEST = 1 << 30


@dataclass(frozen=True, slots=True)
class Manifest:
    """A backup in words.

    Args:
        revision: Of the database.
        made_at: When the database was read, as ISO 8601.
        storage: sqlite or postgresql: where the database stood.
        bucket: Where files stand that are not in the backup; empty for local files.
        left_out: What the backup lacks, and why.
    """

    release: str
    revision: str
    made_at: str
    storage: str
    bucket: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)
    entries: tuple[BackupFile, ...] = ()

    def has(self, room: str) -> bool:
        return any(entry.path.partition("/")[0] == room for entry in self.entries)

    @property
    def bytes(self) -> int:
        return sum(entry.size for entry in self.entries)

    def write(self, folder: Path) -> None:
        body = {"format": FORMAT, **asdict(self)}
        path = folder / NAME
        path.write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2))

    def as_json(self) -> dict[str, Any]:
        return {
            **{name: value for name, value in asdict(self).items() if name != "entries"},
            "files": len(self.entries),
            "bytes": self.bytes,
        }


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup.

    Raises:
        BackupInvalid: There is none, it is damaged, or a newer release wrote it.
    """
    path = folder / NAME
    if not is_plain(path):
        raise BackupInvalid(f"'{folder.name}' is no backup: it has no {NAME}")
    if path.stat().st_size > _LARGEST:
        raise BackupInvalid(f"the {NAME} is too large to be one of ours")
    try:
        told = orjson.loads(path.read_bytes())
        if told["format"] != FORMAT:
            raise BackupInvalid(
                f"the backup has format {str(told['format'])[:20]}, and this release knows {FORMAT}; use the"
                f" release that made it ({str(told.get('release'))[:40]})"
            )
        entries = tuple(_entry(one) for one in told["entries"])
        words = {name: str(told[name]) for name in ("release", "revision", "made_at", "storage", "bucket")}
        left_out = {str(name): str(why) for name, why in dict(told["left_out"]).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupInvalid(f"the {NAME} of the backup is damaged; use another backup") from error
    found = Manifest(**words, left_out=left_out, entries=entries)
    if found.revision > HEAD:
        raise BackupInvalid(
            f"the backup is of a newer release ({found.release}, database {found.revision}; this one has"
            f" {HEAD}): install that release"
        )
    if len({entry.path for entry in entries}) != len(entries) or not found.has(DATABASE):
        raise BackupInvalid(f"the {NAME} of the backup names a file twice, or no database")
    return found


def _entry(told: Mapping[str, Any]) -> BackupFile:
    path, size, sha256 = told["path"], told["size"], told["sha256"]
    if not isinstance(path, str) or not isinstance(size, int) or not _HASH.fullmatch(sha256):
        raise TypeError
    parts = PurePosixPath(path).parts
    inside = parts and parts[0] in ROOMS and ".." not in parts and "\x00" not in path and "\\" not in path
    if not inside or PurePosixPath(path).as_posix() != path:
        raise BackupInvalid(f"the {NAME} names '{path[:80]}', which is no file of a backup: do not use it")
    return BackupFile(path, size, sha256)


def check_files(
    folder: Path, entries: Iterable[BackupFile], told: Callable[[int], None] = lambda size: None
) -> None:
    """Read every file of a backup.

    Raises:
        BackupInvalid: One is missing, or not what the manifest says.
    """
    for entry in entries:
        path = folder / entry.path
        if not is_plain(path) or not path.resolve().is_relative_to(folder.resolve()):
            raise BackupInvalid(f"the backup lacks '{entry.path}'; use another backup")
        if hash_file(path, told) != (entry.size, entry.sha256):
            raise BackupInvalid(f"'{entry.path}' in the backup is not what was written; use another backup")
