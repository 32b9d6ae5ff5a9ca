"""Backup and restore of everything that a service keeps, in one process."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from core import sockets
from core.errors import Conflict, InvalidInput, StorageUnavailable, Unavailable, WaystationError
from core.settings import Places
from graph.moving.backup import Kept, back_up
from graph.moving.errors import BackupInvalid, CopyRefused
from graph.moving.manifest import Manifest
from graph.moving.restore import check, restore
from graph.moving.trees import Tree
from tests.unit.graph.moving.kit import ODD, make_source, rows_of, url_of

KINDS = ("sqlite", "postgresql")


def fill_home(folder: Path) -> None:
    """What stands in a home and its configuration beside the database."""
    texts = {
        "home/files/ada/f_1/meta.json": '{"content": "data-1"}',
        "home/files/ada/f_1/data-1": "content " * 10_000,
        "home/files/.incoming/half": "half",
        "home/index/handbook.lance/data/a": "rows",
        "home/index/handbook.vectors.lock": "",
        "home/plugins/dice/plugin.json": "{}",
        "home/plugins/dice/__pycache__/x.pyc": "x",
        "home/secrets/link.key": "the secret key",
        "home/state/files-id": "1234",
        "config/waystation.yaml": "{}\n",
        "config/.env": "KEY=secret",
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("origin")
    make_source(folder)
    shutil.rmtree(folder / "config")
    fill_home(folder)
    return folder


def kept_at(folder: Path, **more: Any) -> Kept:
    home = folder / "home"
    return Kept(Places(folder / "config", home), url_of(f"sqlite:///{home / 'waystation.db'}"), **more)


@pytest.fixture
def kept(origin: Path) -> Kept:
    return kept_at(origin)


@pytest.fixture(scope="module")
def made(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup that nobody changes."""
    target = tmp_path_factory.mktemp("made") / "backup"
    back_up(kept_at(origin), target)
    return target


@pytest.fixture
def backup(made: Path, tmp_path: Path) -> Path:
    """One that the test may change."""
    return Path(shutil.copytree(made, tmp_path / "backup"))


def put_back(backup: Path, folder: Path, database: URL | None = None) -> tuple[Places, URL]:
    places = Places(folder / "new-config", folder / "new")
    url = database or url_of(f"sqlite:///{places.home / 'waystation.db'}")
    restore(backup, places, url)
    return places, url


def texts_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_everything_comes_back_as_it_was(kept: Kept, tmp_path: Path) -> None:
    manifest = back_up(kept, tmp_path / "backup")
    places, url = put_back(tmp_path / "backup", tmp_path)
    assert rows_of(url) == rows_of(kept.database)
    found = texts_in(places.home)
    assert set(found) == {
        "waystation.db",
        "files/ada/f_1/meta.json",
        "files/ada/f_1/data-1",
        "index/handbook.lance/data/a",
        "plugins/dice/plugin.json",
    }
    assert found["files/ada/f_1/data-1"] == b"content " * 10_000
    assert texts_in(places.config_dir) == {"waystation.yaml": b"{}\n"}
    assert manifest.left_out == {"secrets": "not asked for with --with-secrets"}


def test_secrets_come_along_only_where_they_are_asked_for(kept: Kept, tmp_path: Path) -> None:
    manifest = back_up(kept, tmp_path / "backup", with_secrets=True)
    assert not manifest.left_out
    places, _ = put_back(tmp_path / "backup", tmp_path)
    assert (places.home / "secrets" / "link.key").read_text() == "the secret key"
    assert (places.config_dir / ".env").read_text() == "KEY=secret"
    for place in (tmp_path / "backup", places.home):
        modes = {path.stat().st_mode & 0o077 for path in (place, *place.rglob("*"))}
        assert modes == {0}, "for the owner alone"


def test_no_secret_is_in_a_plain_backup(made: Path) -> None:
    assert not [name for name, text in texts_in(made).items() if b"secret key" in text or b"=secret" in text]


@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_of_a_server_goes_into_either_kind(
    kind: str, tmp_path: Path, postgres_server: Any, postgres_url: URL
) -> None:
    make_source(tmp_path, postgres_url)
    kept = Kept(Places(tmp_path / "config", tmp_path / "home"), postgres_url)
    manifest = back_up(kept, tmp_path / "backup")
    assert manifest.storage == "postgresql"
    other = postgres_server.create_database() if kind == "postgresql" else None
    _, url = put_back(tmp_path / "backup", tmp_path, other)
    assert rows_of(url) == rows_of(postgres_url)
    if other is not None:
        postgres_server.drop_database(other)


def test_files_in_a_bucket_are_named(origin: Path, tmp_path: Path) -> None:
    manifest = back_up(kept_at(origin, bucket="chats"), tmp_path / "backup")
    assert manifest.bucket == "chats"
    assert manifest.left_out["files"] == "they stand in the bucket 'chats'"


def test_what_is_written_meanwhile_is_there_with_its_database(origin: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(origin, tmp_path / "busy"))
    kept = kept_at(folder)
    late = folder / "home" / "files" / "ada" / "f_2"

    def meanwhile(done: int, total: int, name: str) -> None:
        if name == "database" and not late.exists():
            late.mkdir()
            (late / "data-2").write_text("late")
            (late / "meta.json").write_text('{"content": "data-2"}')
            with closing(sqlite3.connect(str(kept.database.database))) as db, db:
                db.execute(
                    "INSERT INTO items SELECT owner, namespace, 'late', value, size, NULL, NULL, 1, 1"
                    " FROM items"
                )

    before = rows_of(kept.database)
    back_up(kept, tmp_path / "backup", told=meanwhile)
    places, url = put_back(tmp_path / "backup", tmp_path)
    assert rows_of(url) == before, "the database is that of one moment"
    assert (places.home / "files" / "ada" / "f_2" / "data-2").read_text() == "late"


def test_a_configuration_that_is_there_stays(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "new-config").mkdir()
    (tmp_path / "new-config" / "waystation.yaml").write_text("server: {}\n")
    put_back(backup, tmp_path)
    assert texts_in(tmp_path / "new-config") == {"waystation.yaml": b"server: {}\n"}


def test_a_database_elsewhere_is_put_there(backup: Path, tmp_path: Path) -> None:
    places, url = put_back(backup, tmp_path, url_of(f"sqlite:///{tmp_path / 'elsewhere.db'}"))
    assert Path(str(url.database)).is_file()
    assert not (places.home / "waystation.db").exists()


def test_an_empty_home_is_taken(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    put_back(backup, tmp_path)


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
    import hashlib

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


def test_a_backup_is_read_without_being_put_back(backup: Path) -> None:
    before = texts_in(backup)
    told: list[str] = []
    found = check(backup, lambda done, total, name: told.append(name))
    assert isinstance(found, Manifest)
    assert found.as_json()["files"] == len(before) - 1
    assert texts_in(backup) == before
    assert "reading" in told


def test_a_backup_has_a_folder_of_its_own(kept: Kept, made: Path) -> None:
    with pytest.raises(Conflict, match="is there already; name a new folder"):
        back_up(kept, made)
    with pytest.raises(InvalidInput, match="would stand in WAYSTATION_HOME"):
        back_up(kept, kept.places.home / "backup")


class Killed(BaseException):
    """Ends whatever goes on."""


def test_what_ends_early_leaves_nothing_that_looks_whole(kept: Kept, made: Path, tmp_path: Path) -> None:
    for at in range(5):
        left = iter(range(at))

        def told(done: int, total: int, name: str, left: Any = left) -> None:
            if next(left, None) is None:
                raise Killed

        with pytest.raises(Killed):
            back_up(kept, tmp_path / "backup", told=told)
        with pytest.raises(Killed):
            restore(
                made,
                Places(tmp_path / "config", tmp_path / "new"),
                url_of(f"sqlite:///{tmp_path / 'new' / 'waystation.db'}"),
                told,
            )
        assert not list(tmp_path.iterdir())


def test_there_is_nothing_to_back_up_before_the_first_start(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"database 'waystation\.db' is not there"):
        back_up(kept_at(tmp_path), tmp_path / "backup")
    (tmp_path / "home").mkdir()
    sqlite3.connect(tmp_path / "home" / "waystation.db").close()
    with pytest.raises(Conflict, match="holds nothing whole"):
        back_up(kept_at(tmp_path), tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_a_full_disk_is_told(kept: Kept, tmp_path: Path, made: Path, small_disk: Callable[[], None]) -> None:
    small_disk()
    with pytest.raises(StorageUnavailable):
        back_up(kept, tmp_path / "backup")
    with pytest.raises(StorageUnavailable, match="cannot be put back"):
        put_back(made, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_never_stands_still_is_told_and_an_index_left_out(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(origin, tmp_path / "busy"))
    real = Tree._file

    def writing(tree: Tree, path: Path) -> Any:
        found = real(tree, path)
        if busy in path.parts:
            path.write_bytes(path.read_bytes() + b"more")
        return found

    monkeypatch.setattr(Tree, "_file", writing)
    busy = "index"
    manifest = back_up(kept_at(folder), tmp_path / "backup")
    assert manifest.left_out["index"].startswith("it was being written")
    assert not (tmp_path / "backup" / "index" / "handbook.lance" / "data" / "a").exists()
    check(tmp_path / "backup")
    busy = "files"
    with pytest.raises(Unavailable, match="written to without a pause"):
        back_up(kept_at(folder), tmp_path / "backup2")


def test_what_changes_once_is_copied_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("old")
    (source / "b").write_text(ODD)
    real = Tree._file

    def vanishing(tree: Tree, path: Path) -> Any:
        if path.name == "a" and path.read_text() == "old":
            (source / "b").unlink()
            path.write_text("new")
        return real(tree, path)

    monkeypatch.setattr(Tree, "_file", vanishing)
    tree = Tree(source, tmp_path / "target", "room")
    assert tree.copy()
    assert [entry.path for entry in tree.entries] == ["room/a"]
    assert texts_in(tmp_path / "target") == {"room/a": b"new"}
    assert not tree.copy(), "nothing is new"
    os.truncate(source / "a", 0)
    assert tree.copy()
    assert texts_in(tmp_path / "target") == {"room/a": b""}


def test_a_service_goes_on_with_what_was_put_back(backup: Path, tmp_path: Path) -> None:
    from tests.unit.graph.moving.kit import ADA
    from waystation.testing.agents import open_agent

    places, _ = put_back(backup, tmp_path)
    places.home.rename(tmp_path / "home")

    async def talk() -> int:
        async with open_agent(tmp_path) as agent:
            await agent.ask("And now?", thread="t1", user="ada")
            return len((await agent.threads.transcript(ADA, "t1"))["messages"])

    assert asyncio.run(talk()) == 8
