"""A backup put back: into a new home, and a database of either kind.

Everything is read and compared before anything is touched; the home gets its name when all stands in it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

from core.errors import Conflict
from core.home import private_files
from core.settings import Places
from graph.db.database import HEAD
from graph.moving.copying import Copy, Progress, ends
from graph.moving.database import is_served, make_ready, name_of
from graph.moving.errors import BackupInvalid
from graph.moving.manifest import DATABASE, Manifest, check_files, read_manifest
from graph.moving.trees import BackupFile, copy_file, disk_errors

_PART = ".partial-"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back where.

    Args:
        config: Whether the configuration was; one that was there already stays.
    """

    manifest: Manifest
    config: bool

    def as_json(self) -> dict[str, Any]:
        return {**self.manifest.as_json(), "config_restored": self.config}


def check(folder: Path, told: Progress = lambda done, total, name: None) -> Manifest:
    """Read a whole backup, and compare it with what it says of itself.

    Raises:
        BackupInvalid: It is not whole, or not one that this release can read.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest.entries, _telling(told, manifest, "reading"))
    with closing(sqlite3.connect(f"{(folder / DATABASE).absolute().as_uri()}?mode=ro", uri=True)) as db:
        try:
            (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
            (found,) = db.execute("SELECT version_num FROM alembic_version").fetchone()
        except (sqlite3.Error, TypeError) as error:
            raise BackupInvalid("the database in the backup is damaged; use another backup") from error
    if said != "ok" or found != manifest.revision:
        raise BackupInvalid("the database in the backup is damaged; use another backup")
    told(1, 1, "")
    return manifest


def restore(
    folder: Path, places: Places, database: URL, told: Progress = lambda done, total, name: None
) -> Restored:
    """Put a backup back. Blocks; whatever `told` raises ends it.

    Args:
        places: The home, which must be missing or empty, and the folder for the configuration.
        database: Missing or empty; the service of that home has to name it.

    Raises:
        BackupInvalid: The backup is not whole. Nothing was touched.
        Conflict: Home or database are not empty. Nothing was touched.
        StorageUnavailable: The disk or the database cannot be used.
    """
    _check_home(places.home)
    is_file = database.get_backend_name() == "sqlite"
    if is_file and os.path.lexists(str(database.database)):
        raise Conflict(f"the database '{Path(str(database.database)).name}' is there already; move it away")
    manifest = check(folder, told)
    if not is_file and manifest.revision != HEAD:
        raise Conflict(
            f"the backup is of an older release ({manifest.revision}, this one has {HEAD}): restore it with"
            " storage.url empty, run `waystation check`, and copy it with `waystation db copy`"
        )
    with (
        private_files(),
        disk_errors(
            "the backup cannot be put back",
            "see that this user may write WAYSTATION_HOME and the configuration, on a disk with room",
        ),
        _drafted(places.home) as home,
        _drafted(places.config_dir) as config,
    ):
        home.mkdir(mode=0o700, parents=True)
        _copy_rooms(folder, manifest, home, told)
        has_config = _copy_config(folder, manifest, places.config_dir, config, told)
        _place_database(folder, places, database, home, told)
        # From here on nobody is heard, and nothing is written but names.
        if has_config:
            _placed(config, places.config_dir)
        _placed(home, places.home)
    return Restored(manifest, has_config)


@contextmanager
def _drafted(folder: Path) -> Iterator[Path]:
    """Where the folder is made: beside it, or within it where it is there, since it may be a mount."""
    part = f"{_PART}{secrets.token_hex(4)}"
    draft = folder / part if folder.exists() else folder.with_name(f"{folder.name}{part}")
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _placed(draft: Path, folder: Path) -> None:
    if not folder.exists():
        draft.rename(folder)
        return
    # The database last: without one nothing looks like a home.
    for entry in sorted(draft.iterdir(), key=lambda entry: entry.name == DATABASE):
        entry.rename(folder / entry.name)


def _check_home(home: Path) -> None:
    if not os.path.lexists(home):
        return
    if not home.is_dir():
        raise Conflict("WAYSTATION_HOME is no folder; name another")
    if is_served(home):
        raise Conflict("a service is running on WAYSTATION_HOME; stop it, or name a new home")
    # What a killed one left is no reason.
    if any(not entry.name.startswith(_PART) for entry in home.iterdir()):
        raise Conflict("WAYSTATION_HOME is not empty: move it away, or name a new home")


def _copy_rooms(folder: Path, manifest: Manifest, draft: Path, told: Progress) -> None:
    tell = _telling(told, manifest, "files")
    for entry in manifest.entries:
        if entry.path.partition("/")[0] not in {DATABASE, "config"}:
            _copy(folder / entry.path, draft / entry.path, entry, tell)


def _copy(source: Path, target: Path, entry: BackupFile, told: Callable[[int], None]) -> None:
    if copy_file(source, target, told) != (entry.size, entry.sha256):
        raise BackupInvalid(f"'{entry.path}' in the backup changed while it was read; use another backup")


def _place_database(folder: Path, places: Places, database: URL, draft: Path, told: Progress) -> None:
    source = folder / DATABASE
    if database.get_backend_name() != "sqlite":
        given = URL.create("sqlite+aiosqlite", database=str(source))
        asyncio.run(make_ready(database))
        with ends(given, database) as (one, other):
            Copy(one, other, told=told, in_flight=True).run(name_of(given))
        return
    place = Path(str(database.database)).absolute()
    if place.is_relative_to(places.home):
        copy_file(source, draft / place.relative_to(places.home), lambda size: None)
        return
    part = place.with_name(f"{place.name}{_PART}{secrets.token_hex(4)}")
    try:
        copy_file(source, part, lambda size: None)
        part.rename(place)
    finally:
        part.unlink(missing_ok=True)


def _copy_config(folder: Path, manifest: Manifest, target: Path, draft: Path, told: Progress) -> bool:
    """A configuration that is there stays as it is."""
    if not manifest.has("config") or (target.exists() and any(target.iterdir())):
        return False
    tell = _telling(told, manifest, "config")
    for entry in manifest.entries:
        room, _, inside = entry.path.partition("/")
        if room == "config":
            _copy(folder / entry.path, draft / inside, entry, tell)
    return True


def _telling(told: Progress, manifest: Manifest, what: str) -> Callable[[int], None]:
    done, total = 0, 1 + manifest.bytes // 1024

    def tell(size: int) -> None:
        nonlocal done
        done += size
        told(min(done // 1024, total - 1), total, what)

    return tell
