"""Backup and restore of everything that a service keeps, in one process."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from core.errors import Conflict, InvalidInput, StorageUnavailable, Unavailable
from core.settings import Places
from graph.moving.backup import BackupSource, back_up
from graph.moving.manifest import Manifest
from graph.moving.restore import check, restore
from graph.moving.trees import Tree
from tests.unit.graph.moving.kit import ODD, kept_at, make_source, put_back, rows_of, texts_in, url_of

KINDS = ("sqlite", "postgresql")


def test_everything_comes_back_as_it_was(kept: BackupSource, tmp_path: Path) -> None:
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


def test_secrets_come_along_only_where_they_are_asked_for(kept: BackupSource, tmp_path: Path) -> None:
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
    kept = BackupSource(Places(tmp_path / "config", tmp_path / "home"), postgres_url)
    manifest = back_up(kept, tmp_path / "backup")
    assert manifest.storage == "postgresql"
    other = postgres_server.create_database() if kind == "postgresql" else None
    _, url = put_back(tmp_path / "backup", tmp_path, other)
    assert rows_of(url) == rows_of(postgres_url)
    if other is not None:
        postgres_server.drop_database(other)


def test_files_in_a_bucket_are_named(kept_home: Path, tmp_path: Path) -> None:
    manifest = back_up(kept_at(kept_home, bucket="chats"), tmp_path / "backup")
    assert manifest.bucket == "chats"
    assert manifest.left_out["files"] == "they stand in the bucket 'chats'"


def test_what_is_written_meanwhile_is_there_with_its_database(kept_home: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(kept_home, tmp_path / "busy"))
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


def test_an_empty_home_is_filled_and_stays_the_folder_that_it_is(backup: Path, tmp_path: Path) -> None:
    """It may be a mount, which nobody can replace, beside which nobody may write."""
    (tmp_path / "elsewhere").mkdir()
    put_back(backup, tmp_path / "elsewhere")
    (tmp_path / "new").mkdir()
    (tmp_path / "new-config").mkdir()
    (tmp_path / "new" / ".partial-0123").mkdir()  # of one that was killed
    before = [(tmp_path / name).stat().st_ino for name in ("new", "new-config")]
    put_back(backup, tmp_path)
    assert [(tmp_path / name).stat().st_ino for name in ("new", "new-config")] == before
    for name in ("new", "new-config"):
        assert texts_in(tmp_path / name) == texts_in(tmp_path / "elsewhere" / name)


@pytest.mark.parametrize("there", [False, True])
def test_what_is_ended_anywhere_is_put_back_whole_or_not_at_all(
    backup: Path, tmp_path: Path, there: bool
) -> None:
    place = tmp_path / "place"
    for name in ("new", "new-config") if there else ("",):
        (place / name).mkdir(parents=True)
    places = Places(place / "new-config", place / "new")
    url = url_of(f"sqlite:///{place / 'new' / 'waystation.db'}")
    told: list[str] = []
    while True:
        left = iter(range(len(told)))

        def tell(done: int, total: int, name: str, left: Any = left) -> None:
            if next(left, None) is None:
                told.append(name)
                raise Killed

        try:
            restore(backup, places, url, tell)
        except Killed:
            assert texts_in(place) == {}
        else:
            break
    assert {"reading", "files", "config"} <= set(told)
    assert "waystation.yaml" in texts_in(places.config_dir)
    assert "waystation.db" in texts_in(places.home)


def test_a_backup_is_read_without_being_put_back(backup: Path) -> None:
    before = texts_in(backup)
    told: list[str] = []
    found = check(backup, lambda done, total, name: told.append(name))
    assert isinstance(found, Manifest)
    assert found.as_json()["files"] == len(before) - 1
    assert texts_in(backup) == before
    assert "reading" in told


def test_a_backup_has_a_folder_of_its_own(kept: BackupSource, made: Path) -> None:
    with pytest.raises(Conflict, match="is there already; name a new folder"):
        back_up(kept, made)
    with pytest.raises(InvalidInput, match="would stand in WAYSTATION_HOME"):
        back_up(kept, kept.places.home / "backup")


class Killed(BaseException):
    """Ends whatever goes on."""


def test_what_ends_early_leaves_nothing_that_looks_whole(
    kept: BackupSource, made: Path, tmp_path: Path
) -> None:
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


def test_a_full_disk_is_told(
    kept: BackupSource, tmp_path: Path, made: Path, small_disk: Callable[[], None]
) -> None:
    small_disk()
    with pytest.raises(StorageUnavailable, match=r"cannot be written to 'backup': .+; name a folder where"):
        back_up(kept, tmp_path / "backup")
    with pytest.raises(StorageUnavailable, match=r"cannot be put back: .+; see that this user may write"):
        put_back(made, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_never_stands_still_is_told_and_an_index_left_out(
    kept_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(kept_home, tmp_path / "busy"))
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


@pytest.mark.slow
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
