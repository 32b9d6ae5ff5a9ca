"""Everything that a service keeps, in one folder, made while it serves.

Files first, then the database as it stands at one moment, then the files that came meanwhile: what a run of
the database refers to is there. The folder gets its name when all is on disk.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import URL

from core.errors import Conflict, InvalidInput, Unavailable
from core.home import private_files
from core.installed import installed_version
from core.settings import Places
from graph.db.database import COPYING
from graph.moving.copying import Copy, Progress, ends, open_end
from graph.moving.database import make_ready, name_of
from graph.moving.manifest import DATABASE, Manifest
from graph.moving.sqlite import SqliteEnd
from graph.moving.trees import BackupFile, Moved, Tree, disk_errors, hash_file

# Pages of SQLite's file that are copied at a time.
PAGES = 2000
_INDEX_TRIES = 4
_PART = ".partial-"


@dataclass(frozen=True, slots=True)
class BackupSource:
    """What a service keeps, and where.

    Args:
        bucket: Where its files stand, when that is not the home folder.
    """

    places: Places
    database: URL
    bucket: str = ""
    own_config: bool = True


def back_up(
    kept: BackupSource,
    target: Path,
    *,
    with_secrets: bool = False,
    told: Progress = lambda done, total, name: None,
) -> Manifest:
    """Make a backup in the new folder `target`. Blocks; whatever `told` raises ends it.

    Args:
        with_secrets: Copy `secrets/`, and files of the configuration whose names begin with a dot.
        told: Hears done and all, in KiB, and what is being copied.

    Raises:
        Conflict: There is something at `target` already.
        StorageUnavailable: The database or the disk cannot be used.
    """
    if os.path.lexists(target):
        raise Conflict(f"'{target.name}' is there already; name a new folder")
    if target.absolute().is_relative_to(kept.places.home):
        raise InvalidInput("the backup would stand in WAYSTATION_HOME, and go with it; name another folder")
    draft = target.with_name(f"{target.name}{_PART}{secrets.token_hex(4)}")
    work = _Work(kept, draft, with_secrets, told)
    try:
        with (
            private_files(),
            disk_errors(
                f"the backup cannot be written to '{target.name}'",
                "name a folder where this user may write, on a disk with room",
            ),
        ):
            draft.mkdir(mode=0o700, parents=True)
            manifest = work.run()
            _sync_folders(draft)
            draft.rename(target)
            _sync(target.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


class _Work:
    def __init__(self, kept: BackupSource, draft: Path, with_secrets: bool, told: Progress) -> None:
        self._kept = kept
        self._draft = draft
        self._with_secrets = with_secrets
        self._told_whole = told
        self._done = 0
        self._total = 1
        self._what = ""
        self.left_out: dict[str, str] = {}

    def run(self) -> Manifest:
        home = self._kept.places.home
        open_end(self._kept.database, "database").close()  # says what is wrong with it
        files = self._tree(home / "files", "files", lambda name: name == ".incoming")
        others = [self._tree(home / "plugins", "plugins", lambda name: name == "__pycache__")]
        if self._kept.own_config:
            others.append(self._tree(self._kept.places.config_dir, "config", self._is_private))
        if self._with_secrets:
            others.append(self._tree(home / "secrets", "secrets", lambda name: False))
        else:
            self.left_out["secrets"] = "not asked for with --with-secrets"
        index = self._tree(home / "index", "index", lambda name: name.endswith(".lock"))
        self._total = 1 + sum(tree.bytes() for tree in (files, index, *others)) + self._database_bytes()
        self._copy_each(files)
        made_at = datetime.now(UTC)
        database = self._database()
        # What came while the rest was copied, until nothing came.
        self._copy_each(files)
        for tree in others:
            self._copy_each(tree)
        self._copy_index(index)
        if self._kept.bucket:
            self.left_out["files"] = f"they stand in the bucket '{self._kept.bucket}'"
        manifest = Manifest(
            release=installed_version(),
            revision=self._revision(),
            made_at=made_at.isoformat(timespec="seconds"),
            storage=self._kept.database.get_backend_name(),
            bucket=self._kept.bucket,
            left_out=self.left_out,
            entries=(database, *(entry for tree in (files, *others, index) for entry in tree.entries)),
        )
        manifest.write(self._draft)
        self._told_whole(1, 1, "")
        return manifest

    def _tree(self, source: Path, name: str, skipped: Callable[[str], bool]) -> Tree:
        return Tree(source, self._draft, name, skipped=skipped, told=self._tell)

    def _is_private(self, name: str) -> bool:
        # Kubernetes mounts files by way of folders of such names.
        return name.startswith("..") or (name.startswith(".") and not self._with_secrets)

    def _copy_each(self, tree: Tree) -> None:
        self._what = "files"
        try:
            tree.copy()
        except Moved as error:
            raise Unavailable(f"'{error}' is written to without a pause; try again in a moment") from None

    def _copy_index(self, index: Tree) -> None:
        self._what = "index"
        try:
            for _ in range(_INDEX_TRIES):
                if not index.copy():
                    return
        except Moved:
            pass
        index.forget()
        self.left_out["index"] = "it was being written; it is built again at the next start"

    def _database_bytes(self) -> int:
        url = self._kept.database
        return Path(str(url.database)).stat().st_size if url.get_backend_name() == "sqlite" else 0

    def _database(self) -> BackupFile:
        self._what = "database"
        path = self._draft / DATABASE
        if self._kept.database.get_backend_name() == "sqlite":
            self._of_file(path)
        else:
            self._of_server(path)
        with closing(sqlite3.connect(path)) as db:
            # One file from now on, which can be read where nobody may write.
            db.execute("PRAGMA journal_mode=DELETE")
        path.chmod(0o600)
        return BackupFile(DATABASE, *hash_file(path))

    def _of_file(self, path: Path) -> None:
        with closing(open_end(self._kept.database, "database")) as source, source.snapshot():
            assert isinstance(source, SqliteEnd)  # noqa: S101 - it is a file
            source.back_up(path, self._tell_pages, pages=PAGES)

    def _of_server(self, path: Path) -> None:
        target = URL.create("sqlite+aiosqlite", database=str(path))
        asyncio.run(make_ready(target))
        with ends(self._kept.database, target) as (source, end):
            Copy(source, end, told=self._tell_rows, in_flight=True).run(name_of(self._kept.database))

    def _revision(self) -> str:
        with closing(SqliteEnd(self._draft / DATABASE)) as end:
            found = end.revision()
        if found is None or found == COPYING:
            raise Conflict("the database holds nothing whole of Waystation; there is nothing to back up")
        return found

    def _tell(self, size: int) -> None:
        self._done += size
        self._say()

    def _tell_pages(self, left: int, pages: int) -> None:
        self._told_whole(pages - left, pages + 1, "database")

    def _tell_rows(self, done: int, total: int, name: str) -> None:
        self._told_whole(done, total + 1, f"database, {name}")

    def _say(self) -> None:
        total = max(self._total, self._done + 1)
        self._told_whole(self._done // 1024, 1 + total // 1024, self._what)


def _sync_folders(root: Path) -> None:
    for place, _, names in os.walk(root):
        _sync(Path(place))
        if place == str(root):
            for name in names:
                _sync(root / name)


def _sync(path: Path) -> None:
    """Onto the disk, whatever becomes of the power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
