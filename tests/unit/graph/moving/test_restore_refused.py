"""What is not put back: other homes, and backups that are not whole."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from core import sockets
from core.errors import Conflict, WaystationError
from graph.moving.errors import BackupInvalid, CopyRefused
from tests.unit.graph.moving.kit import make_source, put_back, url_of


def refused(backup: Path, folder: Path, words: str, kind: type[WaystationError] = BackupInvalid) -> None:
    """Nothing is touched."""
    before = sorted(folder.rglob("*"))
    with pytest.raises(kind, match=words):
        put_back(backup, folder)
    assert sorted(folder.rglob("*")) == before


def test_a_home_with_something_in_it_is_refused(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "x").write_text("x")
    refused(backup, tmp_path, "not empty: move it away", Conflict)


def test_a_home_that_is_a_file_is_refused(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("x")
    refused(backup, tmp_path, "no folder", Conflict)


def test_a_home_that_a_service_uses_is_refused(backup: Path, tmp_path: Path) -> None:
    with sockets.alone(tmp_path / "new" / "state" / "service.lock"):
        refused(backup, tmp_path, "a service is running", Conflict)


def test_a_database_that_is_there_is_refused(backup: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.db"
    taken.write_text("x")
    with pytest.raises(Conflict, match=r"'taken\.db' is there already"):
        put_back(backup, tmp_path, url_of(f"sqlite:///{taken}"))
    assert not (tmp_path / "new").exists()


def test_a_server_with_rows_in_it_is_refused(backup: Path, tmp_path: Path, postgres_url: URL) -> None:
    make_source(tmp_path, postgres_url)
    with pytest.raises(CopyRefused, match="not empty"):
        put_back(backup, tmp_path, postgres_url)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("files/../../evil", "names 'files/../../evil', which is no file of a backup"),
        ("../evil", "no file of a backup"),
        ("/etc/passwd", "no file of a backup"),
        ("state/service.sock", "no file of a backup"),
        ("files//evil", "no file of a backup"),
        ("files/./evil", "no file of a backup"),
        ("files\\..\\evil", "no file of a backup"),
        ("files/\x00", "no file of a backup"),
        ("", "no file of a backup"),
        ("manifest.json", "no file of a backup"),
        ("waystation.db", "names a file twice"),
        (7, "damaged"),
    ],
)
def test_names_that_lead_out_of_a_backup_are_refused(
    backup: Path, tmp_path: Path, name: object, words: str
) -> None:
    rewrite(backup, lambda told: told["entries"].append({"path": name, "size": 1, "sha256": "0" * 64}))
    refused(backup, tmp_path, words)


def rewrite(backup: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = backup / "manifest.json"
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format": 2, "release": "9.9"}, r"has format 2, and this release knows 1; use .*9\.9"),
        ({"revision": "0999", "release": "9.9"}, r"newer release \(9\.9, database 0999"),
        ({"entries": []}, "no database"),
        ({"entries": "none"}, "damaged"),
        ({"left_out": 5}, "damaged"),
        ({"revision": "0001"}, "the database in the backup is damaged"),
    ],
)
def test_another_manifest_is_refused(
    backup: Path, tmp_path: Path, values: dict[str, Any], words: str
) -> None:
    rewrite(backup, lambda told: told.update(values))
    refused(backup, tmp_path, words)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"format": 1}'])
def test_a_damaged_manifest_is_refused(backup: Path, tmp_path: Path, text: str) -> None:
    (backup / "manifest.json").write_text(text)
    refused(backup, tmp_path, "damaged")


def test_a_folder_that_is_no_backup_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", tmp_path, "'empty' is no backup")
    refused(tmp_path / "nothing", tmp_path, "'nothing' is no backup")


def test_files_that_changed_are_found_before_anything_is_touched(backup: Path, tmp_path: Path) -> None:
    content = backup / "files" / "ada" / "f_1" / "data-1"
    content.write_bytes(content.read_bytes()[:-1] + b"X")
    refused(backup, tmp_path, "'files/ada/f_1/data-1' in the backup is not what was written")
    content.unlink()
    refused(backup, tmp_path, "lacks 'files/ada/f_1/data-1'")
    content.symlink_to("/etc/hostname")
    refused(backup, tmp_path, "lacks 'files/ada/f_1/data-1'")


def test_a_link_to_a_folder_leads_nowhere(backup: Path, tmp_path: Path) -> None:
    shutil.move(backup / "files", tmp_path / "away")
    (backup / "files").symlink_to(tmp_path / "away")
    refused(backup, tmp_path, "lacks 'files")


def test_a_damaged_database_is_found(backup: Path, tmp_path: Path) -> None:
    (backup / "waystation.db").write_bytes(b"no database " * 500)
    rewrite(backup, lambda told: told["entries"].__setitem__(0, entry_of(backup, "waystation.db")))
    refused(backup, tmp_path, "database in the backup is damaged")


def entry_of(backup: Path, name: str) -> dict[str, Any]:
    data = (backup / name).read_bytes()
    return {"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_an_older_backup_waits_for_its_migration(backup: Path, tmp_path: Path, postgres_url: URL) -> None:
    with closing(sqlite3.connect(backup / "waystation.db")) as db, db:
        db.execute("UPDATE alembic_version SET version_num = '0008'")
    rewrite(
        backup,
        lambda told: told.update(revision="0008", entries=[entry_of(backup, "waystation.db")]),
    )
    with pytest.raises(Conflict, match=r"older release .*`waystation db copy`"):
        put_back(backup, tmp_path, postgres_url)
